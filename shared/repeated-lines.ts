import type { Logger } from './logger.js';
import { Repeats, type RepeatsOptions } from './repeats.js';

export type LineLevel = 'debug' | 'info' | 'warn' | 'error';

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
