import { badArgument, optionsOf } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import { quote } from '../../shared/keys.js';
import { MAX_REASON_LENGTH, shortened } from '../../shared/limits.js';
import type { Store } from '../../shared/store.js';
import { formatMs } from '../../shared/time.js';
import { formatDrain } from '../../shared/workers/drains.js';
import type { DefinitionDifference } from '../../shared/workers/published-definitions.js';
import { type WorkerDetail, type WorkerList, type WorkerView, readWorkerDetail, readWorkerList } from '../../shared/workers/worker-view.js';
import type { Caller } from '../calls.js';

export interface DrainOptions {
  /** Shown with the worker. At most 500 characters; a longer one is cut. */
  readonly reason?: string | undefined;
  /** Who asks. */
  readonly by?: string | undefined;
}

/** The workers of the fleet. */
export class Workers {
  readonly #store: Store;
  readonly #call: Caller;

  constructor(store: Store, call: Caller) {
    this.#store = store;
    this.#call = call;
  }

  /** Lists the live workers, sorted by host, then those that died within a week, the latest first. */
  async list(): Promise<WorkerView[]> {
    return [...(await this.all()).workers];
  }

  /** @internal Lists the workers, and the definitions that differ among them. */
  all(): Promise<WorkerList> {
    return this.#call(() => readWorkerList(this.#store));
  }

  /** Lists the definitions that differ between live workers, or between them and the producers of the last hour. */
  async differences(): Promise<DefinitionDifference[]> {
    return [...(await this.all()).differences];
  }

  /** Returns a worker with its definitions; null if there is none of that id. */
  get(id: string): Promise<WorkerDetail | null> {
    return this.#call(async () => readWorkerDetail(this.#store, checkWorkerId(id)));
  }

  /**
   * Drains a worker: it ends its running tasks and fetches no others, from any queue, until it is resumed. The request is durable once this
   * resolves; the worker follows within milliseconds, or with its next heartbeat. Returns the worker.
   * @throws FleetError `WORKER_NOT_FOUND` if no live worker has that id, `INVALID_OPTION`
   */
  drain(id: string, options?: DrainOptions): Promise<WorkerView> {
    return this.#call(async () => {
      const { reason, by } = optionsOf(options);
      const text = (name: string, value: unknown): string | null => {
        if (value !== undefined && value !== null && typeof value !== 'string') throw badArgument('INVALID_OPTION', name, 'a text', value);
        return value ? shortened(value, MAX_REASON_LENGTH) : null;
      };
      const drain = { by: text('by', by), at: this.#store.clock.now(), reason: text('reason', reason) };
      return this.#record(checkWorkerId(id), formatDrain(drain));
    });
  }

  /** Lets a drained worker fetch tasks again. Returns the worker. @throws FleetError `WORKER_NOT_FOUND`, `INVALID_OPTION` */
  resume(id: string): Promise<WorkerView> {
    return this.#call(async () => this.#record(checkWorkerId(id), formatDrain('resumed')));
  }

  async #record(id: string, record: string): Promise<WorkerView> {
    const { redis, keys } = this.#store;
    await this.#requireLive(id);
    await redis.hset(keys.workerDrains, id, record);
    // Workers of older versions listen to the common channel.
    await Promise.all([keys.workerChannel(id), keys.workerChanges].map((channel) => redis.publish(channel, id)));
    return this.#requireLive(id);
  }

  async #requireLive(id: string): Promise<WorkerView> {
    const { workers } = await readWorkerList(this.#store);
    const found = workers.find((worker) => worker.id === id);
    if (found?.alive) return found;
    const age = found?.beatAt ? this.#store.clock.now() - found.beatAt.getTime() : null;
    const problem = found
      ? `is dead: its last heartbeat was ${age === null ? 'at an unknown time' : `${formatMs(age)} ago`}`
      : 'does not exist';
    const live = workers.filter(({ alive }) => alive).map((worker) => worker.id);
    throw new FleetError(
      'WORKER_NOT_FOUND',
      `Worker ${quote(id)} ${problem}. Live workers: ${live.slice(0, SHOWN).join(', ') || 'none'}.`,
      {
        details: { id, dead: found !== undefined },
      },
    );
  }
}

/** Most workers that an error names. */
const SHOWN = 20;
const MAX_WORKER_ID = 512;

function checkWorkerId(id: unknown): string {
  if (typeof id === 'string' && id !== '' && id.length <= MAX_WORKER_ID) return id;
  throw badArgument('INVALID_OPTION', 'id', `the id of a worker, 1 to ${MAX_WORKER_ID} characters`, id);
}
