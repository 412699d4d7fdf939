import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { ERROR_SERIALIZERS } from './error-fields.js';
import { messageOf } from './errors.js';
import type { Component } from './log-levels.js';
import { type LogLosses, LogSink, writerTo } from './log-sink.js';
import { Repeats } from './repeats.js';
import type { Settings } from './settings.js';

export type { Logger } from 'pino';

export interface LoggerOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logLevels'>;
  /** Pretty lines for people instead of JSON lines. Default: false. */
  readonly pretty?: boolean;
  /** Where lines go. Default: standard error, so that standard output holds data only. */
  readonly destination?: DestinationStream;
}

const STANDARD_ERROR = 2;
/** What these hold is not written, down to the third level of a line. The settings among them are whole lists of secrets. */
const SECRET_FIELDS = ['input', 'password', 'token', 'apiKey', 'authorization', 'redisUrl', 'openaiBaseUrls', 'openaiKeys'] as const;

/** Makes the logger of a component; each has the level that its own variable or GLOBAL_LOG_LEVEL says. */
export interface LoggerFactory {
  (component: Component): Logger;
  /** What became of the lines. Absent where that is not known. */
  readonly losses?: () => LogLosses;
}

/** How often one warning or error of a component is written in a minute, whatever its fields are. More of them are counted. */
const BURST = 100;
const BURST_MS = 60_000;
/** pino's number of the level. */
const WARN = 40;

/**
 * Makes the loggers of a process. A fault that returns at once must not fill the disk: of one warning or error of a component 100 lines
 * a minute are written, the rest is counted, and the first line of the next minute that has one says how many: `repeated: n`. What
 * handlers log is theirs, and all of it is written. A line that cannot be written is lost, and counted: logging never throws.
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

/** Logs what nobody caught. Anything may be thrown, a task's input for example, and nothing is thrown in here. */
export function logUncaught(logger: Logger, level: 'error' | 'fatal', thrown: unknown, message: string): void {
  try {
    logger[level]({ error: thrown instanceof Error ? thrown : messageOf(thrown) }, message);
  } catch {
    logger[level](`${message}; what was thrown cannot be logged`);
  }
}

function noticeOf({ lost, error }: LogLosses): string {
  let line = '';
  pino({ base: null }, { write: (text) => (line = text) }).warn(
    { lost, error },
    `${lost} log ${lost === 1 ? 'line was' : 'lines were'} lost: they could not be written`,
  );
  return line;
}

/** By what a line is counted; null for what is always written. */
function lineKey({ component }: Readonly<Record<string, unknown>>, words: readonly unknown[]): string | null {
  return component === 'task' ? null : `${String(component)} ${String(words.find((word) => typeof word === 'string'))}`;
}

function withRepeated([first, ...rest]: readonly unknown[], repeated: number): unknown[] {
  if (typeof first === 'string') return [{ repeated }, first, ...rest];
  return [first instanceof Error ? { error: first, repeated } : { ...(first as object), repeated }, ...rest];
}
