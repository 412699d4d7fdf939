import { RecordReporter, type UnreadableRecord } from '../../shared/records/unreadable.js';

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
