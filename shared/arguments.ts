import { type ErrorCode, FleetError, messageOf } from './errors.js';
import { isName, quote } from './keys.js';
import type { AnyDefinition } from './task/definition.js';

/** Returns why `JSON.parse` refused a text, without the excerpt that V8 quotes: it may be part of a task's input. */
export function jsonProblem(error: unknown): string {
  const [reason = ''] = messageOf(error).split(/,? ?(?:\.\.\.)?"/, 1);
  return reason === '' ? 'not JSON' : reason;
}

/** Describes an unexpected value in a few words, for an error message. Never throws. */
export function describeValue(value: unknown): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'symbol') return 'a symbol';
  if (typeof value === 'function') return 'a function';
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? 'an array' : 'an object';
  return String(value);
}

export function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Returns the options of a call, `{}` for undefined. @throws FleetError `INVALID_OPTION` for anything but an object */
export function optionsOf<Options extends object>(options: Options | undefined, field = 'options'): Partial<Options> {
  if (options === undefined) return {};
  if (isObject(options)) return options;
  throw badArgument('INVALID_OPTION', field, 'an object', options);
}

/** Returns the config given to a factory function. @throws FleetError `INVALID_SETTINGS` for anything but an object */
export function configOf<Config extends object>(config: Config | undefined, maker: string): Config {
  if (isObject(config)) return config;
  throw new FleetError('INVALID_SETTINGS', `${maker}: expected an object of settings, got ${describeValue(config)}.`);
}

/** Accepts a definition from any copy of this package. @throws FleetError `INVALID_DEFINITION` for anything else */
export function definitionOf(definition: unknown): AnyDefinition {
  if (isDefinition(definition)) return definition;
  throw new FleetError('INVALID_DEFINITION', `Bad definition: expected what defineTask returns, got ${describeValue(definition)}.`, {
    details: { field: 'definition' },
  });
}

/** Returns whether this looks like a definition from any copy of this package. */
export function isDefinition(value: unknown): value is AnyDefinition {
  if (!isObject(value)) return false;
  const { name, queue, input, retry, retention } = value as Partial<AnyDefinition>;
  return isName(name) && isName(queue) && typeof input?.safeParse === 'function' && isObject(retry) && isObject(retention);
}

/** Makes the error for a bad argument of a call. */
export function badArgument(code: ErrorCode, field: string, expected: string, got: unknown): FleetError {
  return new FleetError(code, `Bad ${field}: expected ${expected}, got ${describeValue(got)}.`, { details: { field } });
}
