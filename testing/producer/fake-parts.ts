import { Billing } from '../../producer/billing.js';
import { TaskBulk } from '../../producer/bulk/task-bulk.js';
import type { CallGate, Caller } from '../../producer/calls.js';
import type { Components } from '../../producer/components.js';
import { EnqueueCalls } from '../../producer/enqueue/enqueue-calls.js';
import type { Enqueuer } from '../../producer/enqueue/enqueuer.js';
import { ItemTokens } from '../../producer/item-tokens.js';
import { TaskList } from '../../producer/list.js';
import { Schedules } from '../../producer/schedule/schedules.js';
import { TaskStop } from '../../producer/stop.js';
import { Usage } from '../../producer/usage.js';
import type { JobEvents } from '../../producer/wait/events.js';
import { Settlement, StopReplicas } from '../../producer/wait/settlement.js';
import type { StreamHub } from '../../producer/wait/stream-reader.js';
import { TaskLogs } from '../../producer/wait/task-logs.js';
import { WaitCalls } from '../../producer/wait/wait-calls.js';
import { Waiter } from '../../producer/wait/waiter.js';
import { Watch } from '../../producer/wait/watch.js';
import { createKeys } from '../../shared/keys.js';
import type { Replicas } from '../../shared/redis/replicas.js';
import type { Schedule } from '../../shared/schedule/schedule.js';
import type { Settings } from '../../shared/settings/settings.js';
import type { Store } from '../../shared/store.js';
import { FakeCalls } from './fake-calls.js';
import { FakeEnqueuer } from './fake-enqueuer.js';
import { FakeRedis, unsupportedBeyond } from './fake-redis.js';
import { FakeSearch } from './fake-search.js';
import { FakeQueues, FakeRetry, FakeSchedulers, NO_LIMITS, NO_WORKERS } from './fake-services.js';
import { FakeStops } from './fake-stops.js';
import { TaskBook } from './task-book.js';

/**
 * The parts of a fake producer: the real ones of a producer, which check and format, on a book of tasks in memory instead of Redis. The book
 * stands for the store at the places where the real parts read and write.
 */
export class FakeParts {
  readonly keys = createKeys('fake', false);
  readonly book = new TaskBook(this.keys);
  readonly calls = new FakeCalls();
  readonly stops: FakeStops;
  readonly enqueuer: FakeEnqueuer;
  readonly redis = new FakeRedis(this.book, this.keys);

  constructor(
    private readonly settings: Settings,
    heedsStops: boolean,
  ) {
    this.stops = new FakeStops(this.book, heedsStops);
    this.enqueuer = new FakeEnqueuer(this.book, this.stops);
  }

  /** Returns the parts for the constructor of a producer. */
  components(): Components {
    const { book, keys } = this;
    const { maxInputBytes } = this.settings;
    const store = this.#store();
    const calls: CallGate = this.calls as unknown as CallGate;
    const enqueuer: Enqueuer = this.enqueuer as unknown as Enqueuer;
    const { redis, reader, clock } = store;
    const telemetry = null;
    const call: Caller = (work) => calls.once(work);
    const waiter = new Waiter(book as unknown as JobEvents, () => calls.ready());
    const watch = new Watch({ redis, keys, reader, clock, hub: book as unknown as StreamHub, waiter });
    const replicas = new StopReplicas({ begin: () => ({ confirm: async () => null }) } as unknown as Replicas);
    const stop = new TaskStop(store, new Settlement(store, waiter, replicas), replicas, telemetry);
    const retry = new FakeRetry(book) as unknown as Components['retry'];
    const definitions = { note: (): void => undefined };
    const adding = new EnqueueCalls({ ...{ store, calls, enqueuer, definitions, telemetry }, limits: { maxInputBytes, clock } });
    const close = async (): Promise<void> => {
      calls.close();
      waiter.close();
    };
    return unsupportedBeyond(
      {
        ...{ store, calls, adding, watch, stop, retry, telemetry, close },
        list: new TaskList(store.search),
        logs: new TaskLogs(store, waiter),
        waiting: new WaitCalls({ calls, reader, watch, definitionOf: (name) => adding.definitionOf(name) }),
        bulk: new TaskBulk({ store, calls, stop, retry }),
        schedules: new Schedules({ store, call, enqueuer, maxInputBytes, telemetry }),
        billing: new Billing(store, call),
        usage: new Usage(store.pools, call),
        itemTokens: new ItemTokens(store, call),
        queues: new FakeQueues(book) as unknown as Components['queues'],
        limitSettings: NO_LIMITS as Components['limitSettings'],
        workers: NO_WORKERS as Components['workers'],
      },
      'the part',
    ) as unknown as Components;
  }

  #store(): Store {
    const { book, keys } = this;
    const redis = this.redis.asConnection();
    const known = {
      ...{ redis, keys, onStep: null, stopper: this.stops, search: new FakeSearch(book), schedulers: new FakeSchedulers(book) },
      clock: { now: () => book.now(), known: true, skewMs: 0 },
      reader: {
        read: async (ids: readonly string[], detail?: 'summary' | 'whole') => book.views(ids, detail),
        readLocated: async ({ byQueue }: { readonly byQueue: ReadonlyMap<string, readonly string[]> }) =>
          book.views([...byQueue.values()].flat()),
        locate: async (ids: readonly string[]) => ({
          byQueue: new Map(ids.flatMap((id) => (book.tasks.has(id) ? [[book.get(id).queue, [id]]] : []))),
          foreign: new Map(),
          unreadable: new Map(),
        }),
      },
      registry: {
        findItem: async (item: string) => new Map(liveOf(book, item).map((id) => [id, null])),
        hasActive: async (item: string) => liveOf(book, item).length > 0,
      },
      unreadable: { read: (_key: string, _type: string, reading: Promise<unknown>) => reading, report: () => undefined },
      overlapGuard: { last: async (schedules: readonly Schedule[]) => schedules.map(() => null), forget: async () => undefined },
      scheduleLine: { join: async () => undefined },
      pools: { keys, connection: async () => redis },
    };
    return unsupportedBeyond(known, 'the part of the store') as unknown as Store;
  }
}

function liveOf(book: TaskBook, item: string): string[] {
  return book.live().flatMap((task) => (task.item === item ? [task.id] : []));
}
