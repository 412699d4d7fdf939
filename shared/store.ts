import { type Keys, createKeys } from './keys.js';
import type { LoggerFactory } from './logger.js';
import { FleetClock } from './clock/fleet-clock.js';
import { redisTime } from './clock/redis-time.js';
import { atMost } from './patience.js';
import { Pools } from './pools.js';
import { type ConnectionPolicy, connect, hangUp } from './redis/connect.js';
import { Counters } from './metrics/counters.js';
import { TaskCounters } from './metrics/task-counters.js';
import { FleetFacts } from './registry/fleet-facts.js';
import { Registry } from './registry/registry.js';
import { Schedulers } from './schedule/schedulers.js';
import { OverlapGuard } from './schedule/overlap-guard.js';
import { type ScriptedRedis, defineScripts } from './scripts/define-scripts.js';
import type { ConnectedSettings } from './redis/topology.js';
import type { StepHook } from './step-hook.js';
import { PendingStops } from './stop/pending-stops.js';
import { Stopper } from './stop/stopper.js';
import { Queues } from './task/queues.js';
import { TaskReader } from './task/task-reader.js';
import { Unreadable } from './unreadable.js';

export type { ConnectedSettings };

/** Everything that producers and workers share over one connection for commands. */
export interface Store {
  readonly redis: ScriptedRedis;
  readonly keys: Keys;
  /** What every time that is stored for others comes from. */
  readonly clock: FleetClock;
  readonly queues: Queues;
  /** What is known of the fleet: its id, and whether open-webui is beside it. */
  readonly facts: FleetFacts;
  readonly registry: Registry;
  readonly reader: TaskReader;
  readonly stopper: Stopper;
  readonly pendingStops: PendingStops;
  readonly schedulers: Schedulers;
  readonly overlapGuard: OverlapGuard;
  readonly pools: Pools;
  /** Counts for the metrics of the fleet. */
  readonly taskCounters: TaskCounters;
  readonly counters: Counters;
  /** Reports records that cannot be read. */
  readonly unreadable: Unreadable;
  /** Hands over what was counted, and closes the queues and the connection. Waits a second at most for a Redis that does not answer. */
  close(): Promise<void>;
}

export interface StoreOptions {
  readonly settings: ConnectedSettings;
  readonly policy: ConnectionPolicy;
  readonly loggers: LoggerFactory;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  readonly onStep?: StepHook | undefined;
  /** Leave connecting to the caller. Default false: it begins at once, in the background. */
  readonly lazy?: boolean;
}

/** What a Redis that is connected gets to answer what is left. */
const CLOSE_MS = 1_000;

/** Opens the connection and builds what works over it. */
export function openStore({ settings, policy, loggers, name, onStep, lazy = false }: StoreOptions): Store {
  const logger = loggers('redis');
  const redis = defineScripts(connect({ settings, policy, logger, name, lazy }));
  const keys = createKeys(settings.keyPrefix, settings.cluster);
  const readTime = (): Promise<number> | null => (redis.status === 'ready' ? redisTime(redis, keys.tasks) : null);
  const clock = new FleetClock({ read: readTime, logger });
  redis.on('ready', () => clock.start());
  const queues = new Queues(redis, keys, clock, logger);
  const schedulers = new Schedulers(redis, queues, keys, clock);
  const counters = new Counters(redis, keys, clock);
  const taskCounters = new TaskCounters(counters);
  const unreadable = new Unreadable({ logger, taskCounters, prefix: keys.prefix });
  const facts = new FleetFacts({ redis, keys, mode: settings.openWebui, logger });
  const registry = new Registry({ redis, keys, facts, unreadable });
  const pendingStops = new PendingStops({ redis, keys, unreadable });
  const reader = new TaskReader({ redis, queues, keys, unreadable }, registry);
  const stopper = new Stopper({
    pendingStops,
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
  });
  const end = async (): Promise<void> => {
    clock.stop();
    facts.close();
    await counters.close();
    await queues.close();
    if (redis.status === 'ready') await redis.quit();
  };
  const pools = new Pools({ settings, redis, keys, logger, name });
  const close = async (): Promise<void> => {
    pools.close();
    await atMost(CLOSE_MS, end());
    hangUp(redis);
  };
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
    schedulers,
    overlapGuard: new OverlapGuard(redis, keys),
    pools,
    taskCounters,
    counters,
    unreadable,
    close,
  };
}
