import { badArgument, optionsOf } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import { isName, quote } from '../../shared/keys.js';
import { MAX_REASON_LENGTH } from '../../shared/limits.js';
import { listQueues } from '../../shared/queue/queue-list.js';
import type { QueueView } from '../../shared/queue/queue-view.js';
import type { Store } from '../../shared/store.js';
import { baseQueue } from '../../shared/task/shards.js';
import type { Caller } from '../calls.js';

export interface PauseOptions {
  /** Why; shown wherever the pause is. At most 500 characters. Default: none. */
  readonly reason?: string | undefined;
  /** Who. At most 500 characters. Default: none. */
  readonly by?: string | undefined;
}

/** The fleet's queues, and their pauses: workers end what they run and start no further task of a paused queue. */
export class QueueControl {
  constructor(
    private readonly store: Store,
    private readonly call: Caller,
  ) {}

  /** Lists every queue that ever had a task or a worker, sorted by name. */
  list(): Promise<QueueView[]> {
    return this.call(() => listQueues(this.store));
  }

  /**
   * Pauses a queue with all its shards, by BullMQ's own pause, so that plain BullMQ workers obey it too. Running tasks go on; stops of its
   * tasks settle as ever. A queue that is paused already keeps the record of who paused it, unless another client did. Returns the queue.
   * @param name the name of the queue as its definitions have it
   * @throws FleetError `QUEUE_NOT_FOUND`, `INVALID_OPTION`
   */
  pause(name: string, options?: PauseOptions): Promise<QueueView> {
    return this.call(async () => {
      const { reason, by } = optionsOf(options);
      const asked = { reason: checkText('reason', reason), by: checkText('by', by) };
      const shards = await this.#shardsOf(name);
      await this.store.pauses.pause(name, shards, asked);
      return this.#view(name);
    });
  }

  /** Resumes a queue, no matter who paused it. Returns the queue. @throws FleetError `QUEUE_NOT_FOUND`, `INVALID_OPTION` */
  resume(name: string): Promise<QueueView> {
    return this.call(async () => {
      await this.store.pauses.resume(name, await this.#shardsOf(name));
      return this.#view(name);
    });
  }

  async #view(name: string): Promise<QueueView> {
    const [queue] = await listQueues(this.store, name);
    return queue as QueueView;
  }

  /** Returns the BullMQ queues of a logical queue. */
  async #shardsOf(name: unknown): Promise<string[]> {
    if (!isName(name)) throw badArgument('INVALID_OPTION', 'queue', 'the name of a queue', name);
    const base = baseQueue(name);
    if (base !== name)
      throw new FleetError('INVALID_OPTION', `Bad queue: ${quote(name)} is a shard; pause or resume its queue, ${quote(base)}.`, {
        details: { field: 'queue', queue: base },
      });
    const shards = (await this.store.registry.queueNames()).filter((shard) => baseQueue(shard) === name);
    if (shards.length > 0) return shards;
    throw new FleetError('QUEUE_NOT_FOUND', `No queue ${quote(name)}: it has had no task and no worker.`, { details: { queue: name } });
  }
}

function checkText(field: string, text: unknown): string | null {
  if (text === undefined || text === '') return null;
  if (typeof text === 'string' && text.length <= MAX_REASON_LENGTH) return text;
  throw badArgument('INVALID_OPTION', field, `text of at most ${MAX_REASON_LENGTH} characters`, text);
}
