import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { FleetJob } from './fleet-job.js';
import { type Outcome, failWith } from './outcome.js';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;
/** Twice the longest: such a task that is still there has come again by then. */
const LATELY_MS = 60_000;
/** Ten minutes: what an upgrade takes that replaces one worker after the other. */
const MOST_STARTS = 28;

type UnknownJob = Pick<FleetJob, 'id' | 'name' | 'queueName' | 'attemptsStarted' | 'attemptsMade'>;

/**
 * Tasks that this worker has no handler for, or whose input fits only what another worker has. In a fleet that is being upgraded old
 * workers meet new tasks, and new ones old: such a task goes back for a worker that can run it, a little longer each time, and that is no
 * attempt. After ten minutes without one its attempt has failed.
 */
export class UnknownTasks {
  readonly #known: string;
  readonly #logger: Logger;
  readonly #warned = new Set<string>();
  /** When such a task last came, by queue; of performance.now. */
  readonly #cameAt = new Map<string, number>();

  /** @param known names of the tasks that there are handlers for */
  constructor(known: Iterable<string>, logger: Logger) {
    this.#known = [...known].join(', ');
    this.#logger = logger;
  }

  /** Whether a queue had such tasks lately. */
  cameLately(queue: string): boolean {
    return performance.now() - (this.#cameAt.get(queue) ?? -Infinity) < LATELY_MS;
  }

  outcomeOf(job: UnknownJob): Outcome {
    const error = new FleetError('UNKNOWN_TASK', `No handler for ${job.name} on this worker; it has ${this.#known}`);
    return this.#defer(job, { kind: 'fail', error }, 'No handler for a task on this worker; deferring the task to another worker');
  }

  /** Of a task whose input does not fit here, while another worker has another schema for it. */
  ofOtherVersion(job: UnknownJob, error: FleetError): Outcome {
    return this.#defer(
      job,
      failWith(error),
      "The input of a task does not match this worker's schema; deferring the task to a worker with another version",
    );
  }

  #defer({ id, name, queueName, attemptsStarted, attemptsMade }: UnknownJob, last: Outcome & { kind: 'fail' }, line: string): Outcome {
    this.#cameAt.set(queueName, performance.now());
    const ms = deferMs(attemptsStarted - attemptsMade);
    if (ms === null) return last;
    // Once for each name: there may be thousands of such tasks.
    this.#logger[this.#warned.has(name) ? 'debug' : 'warn']({ id, name }, line);
    this.#warned.add(name);
    return { kind: 'defer', ms, reason: last.error.message };
  }
}

/** @param starts how often the task was fetched without an attempt that counted, this time included */
function deferMs(starts: number): number | null {
  return starts > MOST_STARTS ? null : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (starts - 1));
}
