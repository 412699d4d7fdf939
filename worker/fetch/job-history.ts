import { ATTEMPT_FIELDS } from '../../shared/attempt/attempt.js';
import { HashReader } from '../../shared/records/hash-reader.js';
import { parseStop } from '../../shared/stop/receipt.js';
import { type RunStop, runStopOf } from '../run/run.js';

/** What a fetched job's hash says of earlier runs, in the fields that BullMQ does not parse. Most jobs have none. */
export class JobHistory {
  /** Runs before those that BullMQ's `attemptsStarted` counts. */
  readonly tries: number;
  /** Stalls that are no fault of the task. */
  readonly givenUp: number;

  private constructor(private readonly fields: HashReader) {
    this.tries = fields.signed('tries') ?? 0;
    this.givenUp = fields.whole('given_up') ?? 0;
  }

  static readonly empty = new JobHistory(new HashReader({}));

  /** Keeps what is ours of a hash's fields and values; null if there is nothing. */
  static of(fields: readonly string[]): JobHistory | null {
    let found: Record<string, string> | null = null;
    for (let index = 0; index + 1 < fields.length; index += 2) {
      const name = fields[index] as string;
      if (OURS.has(name)) (found ??= {})[name] = fields[index + 1] as string;
    }
    return found && new JobHistory(new HashReader(found));
  }

  /** Whether a stop is recorded. */
  get stopped(): boolean {
    return this.fields.text('stop') !== null;
  }

  /** The recorded stop; null for none. */
  get stop(): RunStop | null {
    const stop = parseStop(this.fields.text('stop'), null);
    return stop && runStopOf(stop);
  }

  /** The records of attempts, as stored. */
  get records(): readonly (string | null)[] {
    return ATTEMPT_FIELDS.map((name) => this.fields.text(name));
  }
}

const OURS: ReadonlySet<string> = new Set(['stop', 'tries', 'given_up', ...ATTEMPT_FIELDS]);
