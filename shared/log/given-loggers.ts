import { describeValue } from '../arguments.js';
import { FleetError } from '../errors.js';
import type { Settings } from '../settings/settings.js';
import { ERROR_SERIALIZERS, type Logger, type LoggerFactory, createLoggerFactory } from './logger.js';

/**
 * Where a program's fleet components log:
 * - a pino logger: all of them write to it, as children with `component`, at its own level and with its own redaction. `LOG_LEVEL`
 *   settings have no effect,
 * - a {@link LoggerFactory}, called once for each component: `(component) => logger.child({ component }, { level: … })`.
 *
 * The fleet logs errors in the field `error`. A handler's `context.log` is a child of the component `task`, with `task`, `name` and
 * `attempt`; its lines are kept with the task too, from TASK_LOG_LEVEL_KEPT on.
 */
export type Loggers = LoggerFactory | Logger;

/**
 * Returns a factory that writes to a program's own pino logger. It logs errors in `error`, which pino would write as `{}`, without the
 * failed Redis commands that ioredis attaches.
 */
export function pinoLoggers(logger: Logger): LoggerFactory {
  return (component) => logger.child({ component }, { serializers: { error: ERROR_SERIALIZERS.error } });
}

/** Returns the factory for the `loggers` of a config. Default: JSON lines on standard error. @throws FleetError `INVALID_SETTINGS` */
export function loggersOf(given: Loggers | undefined, maker: string, settings: Pick<Settings, 'logLevel' | 'logLevels'>): LoggerFactory {
  if (given === undefined) return createLoggerFactory({ settings });
  if (isLogger(given)) return pinoLoggers(given);
  if (typeof given === 'function') return given;
  throw new FleetError(
    'INVALID_SETTINGS',
    `${maker}: expected loggers to be a pino logger, or a function that returns one, got ${describeValue(given)}.`,
  );
}

function isLogger(value: unknown): value is Logger {
  const { child, info } = (typeof value === 'object' && value !== null ? value : {}) as Partial<Logger>;
  return typeof child === 'function' && typeof info === 'function';
}
