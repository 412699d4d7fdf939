import { type DestinationStream, type Logger, pino } from 'pino';
import { PinoPretty } from 'pino-pretty';
import { ERROR_SERIALIZERS } from './error-fields.js';
import type { Component } from './log-levels.js';
import type { Settings } from './settings.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logLevels'>;
  /** Pretty lines for people instead of JSON lines. Default: false. */
  readonly pretty?: boolean;
  /** Where lines go. Default: standard error, so that standard output holds data only. */
  readonly destination?: DestinationStream;
}

/** What these hold is not written, down to the third level of a line. The settings among them are whole lists of secrets. */
const SECRET_FIELDS = ['input', 'password', 'token', 'apiKey', 'authorization', 'redisUrl', 'openaiBaseUrls', 'openaiKeys'] as const;

/** Makes the logger of a component; each has the level that its own variable or GLOBAL_LOG_LEVEL says. */
export type LoggerFactory = (component: Component) => Logger;

export function createLoggerFactory({ settings, pretty = false, destination }: LoggerOptions): LoggerFactory {
  const stream =
    destination ?? (pretty ? PinoPretty({ destination: 2, sync: true, singleLine: true, ignore: 'pid,hostname' }) : pino.destination({ dest: 2, sync: true }));
  const root = pino(
    {
      level: 'trace',
      base: null,
      serializers: ERROR_SERIALIZERS,
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '***' },
    },
    stream,
  );
  return (component) => root.child({ component }, { level: settings.logLevels[component] });
}
