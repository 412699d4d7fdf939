import { RecordReporter, type UnreadableRecord } from '../../shared/records/unreadable.js';

/** The result of one check. */
export interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** The suggested fix; null if none is needed. */
  readonly advice: string | null;
}

export function ok(name: string, message: string): Check {
  return { name, level: 'ok', message, advice: null };
}

export function warn(name: string, message: string, advice: string): Check {
  return { name, level: 'warn', message, advice };
}

export function fail(name: string, message: string, advice: string): Check {
  return { name, level: 'fail', message, advice };
}

/** Records kept; further ones are only counted. */
const MAX_RECORDS = 1_000;

/** Collects unreadable records, each once. */
export class Findings extends RecordReporter {
  readonly #records = new Map<string, UnreadableRecord>();
  #beyond = 0;

  get records(): readonly UnreadableRecord[] {
    return [...this.#records.values()];
  }

  /** Number of reports beyond the limit. */
  get beyond(): number {
    return this.#beyond;
  }

  override report(record: UnreadableRecord): void {
    const name = JSON.stringify([record.key, record.id]);
    if (this.#records.size < MAX_RECORDS || this.#records.has(name)) this.#records.set(name, record);
    else this.#beyond += 1;
  }
}
