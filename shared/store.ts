import { FleetClock, redisTime } from './clock/fleet-clock.js';
import { type TimeShift, shiftScripts } from './clock/time-shift.js';
import { type Keys, createKeys } from './keys.js';
import { Limiter } from './limiter/limiter.js';
import { ParkedJobs } from './limiter/parked-jobs.js';
import type { LoggerFactory } from './log/logger.js';
import { Counters } from './metrics/counters.js';
import { TaskCounters } from './metrics/task-counters.js';
import { Pauses } from './queue/pauses.js';
import { Unreadable } from './records/unreadable.js';
import { type ConnectionPolicy, connect, hangUp } from './redis/connect.js';
import { Pools } from './redis/pools.js';
import type { ConnectedSettings } from './redis/topology.js';
import { FleetFacts } from './registry/fleet-facts.js';
import { Registry } from './registry/registry.js';
import { EndedTasks } from './retention/ended-tasks.js';
import { ScheduleLine } from './schedule/line.js';
import { OverlapGuard } from './schedule/overlap-guard.js';
import { Schedulers } from './schedule/schedulers.js';
import { type ScriptedRedis, defineScripts } from './scripts/define-scripts.js';
import { TaskSearch } from './search/search.js';
import { PendingStops } from './stop/pending-stops.js';
import type { SettleListener } from './stop/settler.js';
import { Stopper } from './stop/stopper.js';
import { Queues } from './task/queues.js';
import { TaskReader } from './task/task-reader.js';
import { atMost } from './time.js';

export type { ConnectedSettings };

/**
 * Points between two steps where a test may pause the caller to act in between.
 * - `enqueue:checked`: a task has passed its checks and is not yet registered.
 * - `enqueue:registered`: a task that requires its item to be free is registered, and its job is not yet added.
 * - `worker:fetched`: BullMQ has fetched a job, and the worker does not track it yet.
 * - `worker:tracked`: stops now reach the run, and its handler has not been called.
 * - `worker:ended`: the handler has ended, and its outcome is not yet written.
 * - `stop:recorded`: a stop is recorded and not yet published.
 */
export type Step = 'enqueue:checked' | 'enqueue:registered' | 'worker:fetched' | 'worker:tracked' | 'worker:ended' | 'stop:recorded';

/** Called and awaited at each step, with the task's id. Tests pass one; no public configuration has it. */
export type StepHook = (step: Step, id: string) => Promise<void>;

/** The parts that producers and workers share, over one command connection. */
export interface Store {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  /** The source of every stored timestamp. */
  readonly clock: FleetClock;
  readonly queues: Queues;
  /** The fleet's id, and whether open-webui runs beside it. */
  readonly facts: FleetFacts;
  readonly registry: Registry;
  readonly reader: TaskReader;
  readonly stopper: Stopper;
  readonly pendingStops: PendingStops;
  /** Applies the retention. */
  readonly endedTasks: EndedTasks;
  /** Lines tasks up for their limits. */
  readonly limiter: Limiter;
  readonly schedulers: Schedulers;
  readonly overlapGuard: OverlapGuard;
  readonly scheduleLine: ScheduleLine;
  /** Pauses and resumes queues. */
  readonly pauses: Pauses;
  readonly pools: Pools;
  /** Counters for the fleet's metrics. */
  readonly taskCounters: TaskCounters;
  readonly counters: Counters;
  /** Reports records that cannot be read. */
  readonly unreadable: Unreadable;
  readonly search: TaskSearch;
  /** Null outside tests. */
  readonly onStep: StepHook | null;
  /** Flushes the counters, and closes the queues and the connection. Waits up to a second for Redis. */
  close(): Promise<void>;
}

interface StoreOptions {
  readonly settings: ConnectedSettings;
  readonly policy: ConnectionPolicy;
  readonly loggers: LoggerFactory;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  /** Whether the caller connects. Default false: the connection opens at once, in the background. */
  readonly lazy?: boolean;
  /** Called with each stopped job that this process settled without having run it. Default: none. */
  readonly onSettled?: SettleListener;
  /** Moves the fleet's time, in tests. Default: none. */
  readonly shift?: TimeShift | undefined;
}

/** How long `close` waits for Redis. */
const CLOSE_MS = 1_000;

/** Opens the connection and builds the store on it. */
export function openStore(
  { settings, policy, loggers, name, lazy = false, onSettled, shift }: StoreOptions,
  onStep: StepHook | null = null,
): Store {
  const logger = loggers('redis');
  const connection = connect({ settings, policy, logger, name, lazy });
  if (shift) shiftScripts(connection, shift);
  const redis = defineScripts(connection);
  const keys = createKeys(settings.keyPrefix, settings.cluster);
  const readTime = (): Promise<number> | null => (redis.status === 'ready' ? redisTime(redis, keys.tasks) : null);
  const clock = new FleetClock({ read: readTime, logger, shift });
  redis.on('ready', () => clock.start());
  const queues = new Queues(redis, keys, clock, logger);
  const schedulers = new Schedulers(redis, queues, keys, clock);
  const counters = new Counters(redis, keys, clock);
  const taskCounters = new TaskCounters(counters);
  const unreadable = new Unreadable({ logger, taskCounters, prefix: keys.prefix });
  const facts = new FleetFacts({ redis, keys, mode: settings.openWebui, logger });
  const registry = new Registry({ redis, keys, facts, unreadable });
  const pendingStops = new PendingStops({ redis, keys, unreadable });
  const endedTasks = new EndedTasks({ redis, queues, keys, unreadable, logger: loggers('cleanup') });
  const limiter = new Limiter({ redis, keys, parked: new ParkedJobs(redis, queues, keys), logger: loggers('schedule') });
  const reader = new TaskReader({ redis, queues, keys, unreadable, limiter }, registry);
  const search = new TaskSearch({ redis, keys, queues, reader, registry, limiter, clock, unreadable });
  const stopper = new Stopper({
    pendingStops,
    endedTasks,
    limiter,
    facts,
    unreadable,
    schedulers,
    taskCounters,
    redis,
    queues,
    registry,
    reader,
    keys,
    clock,
    lockMs: settings.lockMs,
    logger: loggers('stop'),
    onStep,
    onSettled: onSettled ?? null,
  });
  const end = async (): Promise<void> => {
    clock.stop();
    facts.close();
    await Promise.all([counters.close(), limiter.idle()]);
    await queues.close();
    if (redis.status === 'ready') await redis.quit();
  };
  const pools = new Pools({ settings, redis, keys, logger, name });
  const close = async (): Promise<void> => {
    pools.close();
    await atMost(CLOSE_MS, end());
    hangUp(redis);
  };
  const scheduleLine = new ScheduleLine(redis, keys, unreadable);
  return {
    redis,
    keys,
    clock,
    queues,
    facts,
    registry,
    reader,
    stopper,
    pendingStops,
    endedTasks,
    limiter,
    schedulers,
    pauses: new Pauses({ redis, keys, queues, clock, unreadable }),
    scheduleLine,
    overlapGuard: new OverlapGuard(redis, keys, scheduleLine),
    pools,
    taskCounters,
    counters,
    unreadable,
    search,
    onStep,
    close,
  };
}
