import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { ERROR_SERIALIZERS } from './error-fields.js';
import { messageOf } from './errors.js';
import type { Component } from './settings/log-levels.js';
import { type LogLosses, LogSink, writerTo } from './log-sink.js';
import { Repeats } from './repeats.js';
import type { Settings } from './settings/settings.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logLevels'>;
  /** Pretty lines for people instead of JSON lines. Default: false. */
  readonly pretty?: boolean;
  /** Default: standard error, which keeps standard output for data. */
  readonly destination?: DestinationStream;
}

const STANDARD_ERROR = 2;
/** Fields that are censored down to the third level of a line. */
const SECRET_FIELDS = ['input', 'password', 'token', 'apiKey', 'authorization', 'redisUrl', 'openaiBaseUrls', 'openaiKeys'] as const;

/** Makes a component's logger, at the level set by its own variable or GLOBAL_LOG_LEVEL. */
export interface LoggerFactory {
  (component: Component): Logger;
  /** Lines that could not be written. Absent if the factory does not count them. */
  readonly losses?: () => LogLosses;
}

/** How often a component may log the same warning or error in a minute; repetitions beyond that are counted. */
const BURST = 100;
const BURST_MS = 60_000;
/** pino's number of the level. */
const WARN = 40;

/**
 * Makes the loggers of a process. To keep a recurring fault from filling the disk, a component may log the same warning or error 100
 * times a minute; the rest is counted, and the next line written has the count as `repeated: n`. Lines from handlers are not limited.
 * Logging never throws: lines that cannot be written are counted as lost.
 */
export function createLoggerFactory({ settings, pretty = false, destination }: LoggerOptions): LoggerFactory {
  const write = destination ? (text: string) => destination.write(text) : writerTo(STANDARD_ERROR);
  const format = pretty ? prettyFactory({ singleLine: true, ignore: 'pid,hostname' }) : null;
  const sink = new LogSink({ write: (line) => write(format?.(line) ?? line), notice: noticeOf });
  const repeats = new Repeats({ intervalMs: BURST_MS, burst: BURST });
  const root = pino(
    {
      level: 'trace',
      hooks: {
        logMethod(words, log, level) {
          const key = level < WARN ? null : lineKey(this.bindings(), words);
          const repeated = key === null ? 0 : repeats.admit(key);
          if (repeated !== null) log.apply(this, repeated === 0 ? words : (withRepeated(words, repeated) as typeof words));
        },
      },
      base: null,
      serializers: ERROR_SERIALIZERS,
      redact: { paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]), censor: '***' },
    },
    sink,
  );
  const loggerOf = (component: Component): Logger => root.child({ component }, { level: settings.logLevels[component] });
  return Object.assign(loggerOf, { losses: () => sink.losses });
}

/** Logs an uncaught value, of which only errors are logged as objects: it may be a task's input. Never throws. */
export function logUncaught(logger: Logger, level: 'error' | 'fatal', thrown: unknown, message: string): void {
  try {
    logger[level]({ error: thrown instanceof Error ? thrown : messageOf(thrown) }, message);
  } catch {
    logger[level](`${message}; the thrown value cannot be logged`);
  }
}

function noticeOf({ lost, error }: LogLosses): string {
  let line = '';
  pino({ base: null }, { write: (text) => (line = text) }).warn(
    { lost, error },
    `Lost ${lost} log ${lost === 1 ? 'line' : 'lines'}: the log could not be written`,
  );
  return line;
}

/** The key under which repetitions of a line are counted; null if it is always written. */
function lineKey({ component }: Readonly<Record<string, unknown>>, words: readonly unknown[]): string | null {
  return component === 'task' ? null : `${String(component)} ${String(words.find((word) => typeof word === 'string'))}`;
}

function withRepeated([first, ...rest]: readonly unknown[], repeated: number): unknown[] {
  if (typeof first === 'string') return [{ repeated }, first, ...rest];
  return [first instanceof Error ? { error: first, repeated } : { ...(first as object), repeated }, ...rest];
}
