import { type DestinationStream, type Logger, pino } from 'pino';
import { prettyFactory } from 'pino-pretty';
import { isError, messageOf, withoutArguments } from '../errors.js';
import { MAX_ERROR_BYTES, MAX_STACK_LENGTH, cutToBytes, shortened } from '../limits.js';
import type { Component } from '../settings/log-levels.js';
import type { Settings } from '../settings/settings.js';
import { LastError, type LastLine } from './last-line.js';
import { type LogLosses, LogSink, writerTo } from './log-sink.js';
import { SECRET_FIELDS } from './secret-fields.js';

/**
 * Picks the fields of an error that are safe to log: ioredis attaches the failed command, which may contain a password or a
 * task's input.
 */
function errorFields(error: unknown): unknown {
  if (typeof error === 'string') return cutToBytes(withoutArguments(error), MAX_ERROR_BYTES);
  if (!isError(error)) return error;
  const { name, stack, cause } = error;
  return {
    name,
    message: cutToBytes(withoutArguments(messageOf(error)), MAX_ERROR_BYTES),
    ...('code' in error && { code: error.code }),
    stack: stack && shortened(withoutArguments(stack), MAX_STACK_LENGTH),
    ...(isError(cause) && { cause: errorFields(cause) }),
  };
}

/** Serializers for pino, which by default logs every field of `err` and writes any other error as `{}`. */
export const ERROR_SERIALIZERS = { error: errorFields, err: errorFields } as const;

export type { Logger } from 'pino';
export type { Component } from '../settings/log-levels.js';

export interface LoggerOptions {
  readonly settings: Pick<Settings, 'logLevel' | 'logLevels'>;
  /** Pretty lines for people instead of JSON lines. Default: false. */
  readonly pretty?: boolean;
  /** Default: standard error, which keeps standard output for data. */
  readonly destination?: DestinationStream;
}

const STANDARD_ERROR = 2;
/** Makes a component's logger, at the level set by its own variable or GLOBAL_LOG_LEVEL. */
export interface LoggerFactory {
  (component: Component): Logger;
  /** Lines that could not be written. Absent if the factory does not count them. */
  readonly losses?: () => LogLosses;
  /** The last line of level error or fatal, except lines of handlers. Absent if the factory does not keep it. */
  readonly lastError?: () => LastLine | null;
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
  const lastError = new LastError();
  const repeats = new Repeats({ intervalMs: BURST_MS, burst: BURST });
  const root = pino(
    {
      level: 'trace',
      hooks: {
        logMethod(words, log, level) {
          const key = level < WARN ? null : lineKey(this.bindings(), words);
          // Without a key, the line comes from a handler.
          if (key !== null) lastError.note(level, words);
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
  return Object.assign(loggerOf, { losses: () => sink.losses, lastError: () => lastError.line });
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
  return [isError(first) ? { error: first, repeated } : { ...(first as object), repeated }, ...rest];
}

interface RepeatsOptions {
  /** Length of an interval, in ms. Default: an hour. */
  readonly intervalMs?: number;
  /** Lines logged per key and interval. Default: 1. */
  readonly burst?: number;
  /** Keys remembered at once. Lines with further keys share one key. Default: 1,000. */
  readonly maxKeys?: number;
  /** A monotonic clock in ms. Default: performance.now. */
  readonly now?: () => number;
}

interface Written {
  /** Start of the interval. */
  readonly at: number;
  lines: number;
  /** Lines counted, not logged, since then. */
  repeated: number;
}

const HOUR_MS = 3_600_000;
const MAX_KEYS = 1_000;
/** The shared key of lines beyond `maxKeys`. Callers' keys are never empty. */
const OTHERS = '';

/** Decides which repeated lines to log. Bounds both memory and the number of logged lines, even if no key ever repeats. */
class Repeats {
  readonly #intervalMs: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  readonly #now: () => number;
  /** By key, oldest interval first. */
  readonly #written = new Map<string, Written>();

  constructor({ intervalMs = HOUR_MS, burst = 1, maxKeys = MAX_KEYS, now = () => performance.now() }: RepeatsOptions = {}) {
    this.#intervalMs = intervalMs;
    this.#burst = burst;
    this.#maxKeys = maxKeys;
    this.#now = now;
  }

  /** Returns null if the line is to be counted only, else the number of lines counted since the key's last interval. */
  admit(key: string): number | null {
    const now = this.#now();
    const kept = this.#keyFor(key, now);
    const last = this.#written.get(kept);
    if (!last || now - last.at >= this.#intervalMs) {
      this.#written.delete(kept);
      this.#written.set(kept, { at: now, lines: 1, repeated: 0 });
      return last?.repeated ?? 0;
    }
    if (last.lines < this.#burst) {
      last.lines += 1;
      return 0;
    }
    last.repeated += 1;
    return null;
  }

  /** Forgets a key. Returns the number of its counted lines not yet reported. */
  forget(key: string): number {
    const { repeated = 0 } = this.#written.get(key) ?? {};
    this.#written.delete(key);
    return repeated;
  }

  #keyFor(key: string, now: number): string {
    if (this.#written.has(key) || this.#written.size < this.#maxKeys) return key;
    const [oldest] = this.#written;
    if (!oldest || now - oldest[1].at < this.#intervalMs) return OTHERS;
    this.#written.delete(oldest[0]);
    return key;
  }
}

type LineLevel = 'debug' | 'info' | 'warn' | 'error';

/** Logs a line once per key and interval and counts repetitions; the key's next line has the count as `repeated: n`. */
export class RepeatedLines {
  readonly #logger: Logger;
  readonly #repeats: Repeats;

  constructor(logger: Logger, options: RepeatsOptions = {}) {
    this.#logger = logger;
    this.#repeats = new Repeats(options);
  }

  /** Logs or counts the line. Returns whether it was logged. */
  write(level: LineLevel, key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    const repeated = this.#repeats.admit(key);
    if (repeated === null) return false;
    this.#logger[level]({ ...fields, ...(repeated > 0 && { repeated }) }, message);
    return true;
  }

  debug(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('debug', key, fields, message);
  }

  info(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('info', key, fields, message);
  }

  warn(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('warn', key, fields, message);
  }

  error(key: string, fields: Readonly<Record<string, unknown>>, message: string): boolean {
    return this.write('error', key, fields, message);
  }

  /** Forgets a key, so that its next line is logged. Returns the number of repetitions not yet reported. */
  forget(key: string): number {
    return this.#repeats.forget(key);
  }
}
