import type { Setting } from '../shared/settings/kinds.js';
import { type Environment, SETTINGS } from '../shared/settings/settings.js';
import { usageError } from './errors.js';
import type { Io } from './io.js';
import type { GlobalOptions } from './options.js';

/**
 * Returns the environment with options overriding their variables.
 * @throws CliError `USAGE` for an option that is not a valid setting
 */
export function environmentOf(io: Io, { redis, prefix }: GlobalOptions): Environment {
  const env: Record<string, string | undefined> = { ...io.env };
  if (redis !== undefined) env[SETTINGS.redisUrl.env] = check('--redis', SETTINGS.redisUrl, redis);
  if (prefix !== undefined) env[SETTINGS.keyPrefix.env] = check('--prefix', SETTINGS.keyPrefix, prefix);
  return env;
}

/**
 * Returns the environment for short-lived commands. These print their own errors, so their log is off unless configured.
 * @throws CliError `USAGE`
 */
export function clientEnvironmentOf(io: Io, globals: GlobalOptions): Environment {
  const env = environmentOf(io, globals);
  return env[SETTINGS.logLevel.env] ? env : { ...env, [SETTINGS.logLevel.env]: 'error' };
}

/** The value is not repeated in the error: a URL may contain a password. */
function check(flag: string, { schema, expected, explain }: Setting<unknown>, value: string): string {
  if (value !== '' && schema.safeParse(value).success) return value;
  throw usageError(`Bad ${flag}: ${explain?.(value) ?? `expected ${expected}`}.`);
}
