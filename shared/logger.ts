import { type DestinationStream, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { messageOf } from './errors.js';
import type { Component, Settings } from './settings.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logLevels'>;
  /** Pretty lines for people instead of JSON lines. Default: false. */
  readonly pretty?: boolean;
  /** Where lines go. Default: standard error, so that standard output holds data only. */
  readonly destination?: DestinationStream;
}

/** Makes the logger of a component; each has the level that its own variable or GLOBAL_LOG_LEVEL says. */
export type LoggerFactory = (component: Component) => Logger;

export function createLoggerFactory({ settings, pretty = false, destination }: LoggerOptions): LoggerFactory {
  const stream =
    destination ?? (pretty ? PinoPretty({ destination: 2, sync: true, singleLine: true, ignore: 'pid,hostname' }) : pino.destination({ dest: 2, sync: true }));
  const root = pino(
    {
      level: 'trace',
      base: null,
      serializers: { error: errorFields },
      redact: { paths: ['input', '*.input', 'password', '*.password', 'apiKey', '*.apiKey', 'headers.authorization'], censor: '***' },
    },
    stream,
  );
  return (component) => root.child({ component }, { level: settings.logLevels[component] });
}

/**
 * What is worth reading of an error. Not everything that hangs on it: ioredis keeps the command there, with its password
 * or a task's input. pino itself knows errors under the name `err` only, and writes any other as `{}`.
 */
function errorFields(error: unknown): unknown {
  if (!(error instanceof Error)) return error;
  const { name, stack, cause } = error;
  return { name, message: messageOf(error), ...('code' in error && { code: error.code }), stack, ...(cause instanceof Error && { cause: errorFields(cause) }) };
}
