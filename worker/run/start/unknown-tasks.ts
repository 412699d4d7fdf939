import { FleetError } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Store } from '../../../shared/store.js';
import type { TaskHandler } from '../../../shared/task/handler.js';
import { hashOfSchema } from '../../../shared/workers/definitions.js';
import { type Schemas, readSchemas } from '../../../shared/workers/heartbeats.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import { type Outcome, failWith } from '../outcome.js';

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;
/** How long a queue counts as having unknown tasks, in ms: twice the longest delay, by which such a task would have come again. */
const LATELY_MS = 60_000;
/** Most fetches of a task without a handler, spread over ten minutes: time for a rolling upgrade. */
const MAX_STARTS = 28;

type UnknownJob = Pick<FleetJob, 'id' | 'name' | 'queueName' | 'attemptsStarted' | 'attemptsMade'>;

/**
 * Decides about tasks without a handler on this worker, or whose input matches only another worker's schema. While a fleet is upgraded, old
 * workers meet new tasks and new workers old ones: such a task is deferred to another worker, with growing delays that do not count as
 * attempts. After ten minutes its attempt fails.
 */
export class UnknownTasks {
  readonly #known: string;
  readonly #warned = new Set<string>();
  /** When such a task was last fetched, by queue; by performance.now. */
  readonly #cameAt = new Map<string, number>();

  /** @param known names of the tasks with a handler */
  constructor(
    known: Iterable<string>,
    private readonly logger: Logger,
  ) {
    this.#known = [...known].join(', ');
  }

  /** Returns whether such tasks were fetched from a queue lately. */
  cameLately(queue: string): boolean {
    return performance.now() - (this.#cameAt.get(queue) ?? -Infinity) < LATELY_MS;
  }

  outcomeOf(job: UnknownJob): Outcome {
    const error = new FleetError('UNKNOWN_TASK', `No handler for ${job.name} on this worker; it has ${this.#known}`);
    return this.#defer(job, { kind: 'fail', error }, 'No handler for a task on this worker; deferring the task to another worker');
  }

  /** Decides about a task whose input does not match here, while another worker has a different schema. */
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
    // Warn once per name: there may be thousands of such tasks.
    this.logger[this.#warned.has(name) ? 'debug' : 'warn']({ id, name }, line);
    this.#warned.add(name);
    return { kind: 'defer', ms, reason: last.error.message };
  }
}

/** @param starts how often the task was fetched without an attempt that counted, including now */
function deferMs(starts: number): number | null {
  return starts > MAX_STARTS ? null : Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (starts - 1));
}

/** The versions of tasks on other workers, which differ while a fleet is being upgraded. */
export class OtherVersions {
  constructor(
    private readonly store: Store,
    private readonly workerId: string,
    private readonly own: Schemas,
  ) {}

  /** Returns whether a live worker that is not draining has another input schema for a task. */
  async have(name: string): Promise<boolean> {
    const own = this.own[name];
    if (own === undefined) return false;
    const others = await readSchemas(this.store, this.workerId);
    return others.some(({ [name]: other }) => typeof other === 'string' && other !== own);
  }
}

/** Hashes the input schema of each handler, except schemas that JSON Schema cannot represent. */
export function schemasOf(handlers: Iterable<TaskHandler>): Schemas {
  return Object.fromEntries(
    [...handlers].flatMap(({ definition }) => {
      const hash = hashOfSchema(definition.input, 'input');
      return hash === null ? [] : [[definition.name, hash]];
    }),
  );
}
