import type { LoggerFactory } from '../shared/logger.js';
import { connect, ready } from '../shared/redis/connect.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../shared/redis/embedded.js';
import type { Environment, Settings } from '../shared/settings.js';
import { type ProcessOutput, SupervisedProcess } from './supervised-process.js';

export interface FleetOptions {
  readonly settings: Settings;
  /** The environment that `settings` were read from. The workers get it, with REDIS_URL set to the Redis in use. */
  readonly env: Environment;
  /** How many worker processes. */
  readonly workers: number;
  /** Whether there is a dashboard too, in a process of its own. */
  readonly dashboard: boolean;
  /** The embedded Redis's data folder, for when `settings` has no `redisUrl`. */
  readonly redisDir: string;
  /** Gets the lines that a person should see: an installation, a worker that is started again. */
  readonly say: (line: string) => void;
  readonly loggers: LoggerFactory;
  /** What becomes of the processes' standard output and error. Default: `inherit`. */
  readonly output?: ProcessOutput;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
}

/** A Redis, worker processes and a dashboard on this machine. */
export interface Fleet {
  readonly redisUrl: string;
  /** The ids of other processes that used the embedded Redis when this fleet came; the last one to end stops it. Empty with a REDIS_URL. */
  readonly redisSharedWith: readonly number[];
  /** Resolves with the reason once the embedded Redis has ended and could not be started again. */
  readonly redisLost: Promise<Error>;
  /** The worker processes as they are now: `index` from 1; `pid` null while one waits to be started again; `id` null until it takes tasks. */
  workers(): { index: number; pid: number | null; id: string | null }[];
  /** The dashboard as it is now; `url` null until it listens. Null if the fleet has none. */
  dashboard(): { pid: number | null; url: string | null } | null;
  /**
   * Resolves when all workers are connected and take tasks, and the dashboard listens.
   * @throws FleetError with the code of what keeps a worker from running (`INVALID_TASK_MODULE` …); `CLOSED` if the fleet is stopped before
   */
  ready(): Promise<void>;
  /** SIGTERM to the processes, SIGKILL to those that still run 5 s after SHUTDOWN_TIMEOUT_MS, then leaves the embedded Redis. May be called again. */
  stop(): Promise<void>;
  /** SIGKILL to the processes, then leaves the embedded Redis, which still ends cleanly. Also cuts a `stop` short. May be called again. */
  killNow(): Promise<void>;
}

/** What a process gets beyond its own shutdown timeout: for handing tasks back and closing connections. */
const SHUTDOWN_MARGIN_MS = 5_000;

/**
 * Starts a fleet: an embedded Redis unless there is a URL of one, and the workers. Resolves when the processes exist; see
 * `ready`. A start that fails is undone. Workers notice when this process is gone, and shut down gracefully.
 * @throws FleetError `REDIS_UNAVAILABLE`, `REDIS_SERVER_MISSING`, `REDIS_SERVER_FAILED`; the reason of `signal`
 */
export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const fleet = new LocalFleet(options, await openRedis(options));
  try {
    options.signal?.throwIfAborted();
    await fleet.start();
  } catch (error) {
    await fleet.killNow();
    throw error;
  }
  return fleet;
}

type FleetRedis = Pick<EmbeddedRedis, 'url' | 'sharedWith' | 'lost' | 'stop'>;

async function openRedis({ settings, env, redisDir, say, loggers, signal }: FleetOptions): Promise<FleetRedis> {
  const { redisUrl } = settings;
  if (redisUrl === null) {
    return startEmbeddedRedis({
      dir: redisDir,
      preferredPort: settings.redisPort,
      path: env['PATH'] ?? '',
      say,
      logger: loggers('redis'),
      ...(signal && { signal }),
    });
  }
  const redis = connect({ settings: { ...settings, redisUrl }, policy: 'fail-fast', logger: loggers('redis'), name: 'taskfleet:up' });
  try {
    await ready(redis, settings.connectTimeoutMs);
  } finally {
    redis.disconnect();
  }
  return { url: redisUrl, sharedWith: [], lost: new Promise(() => undefined), stop: () => Promise.resolve() };
}

class LocalFleet implements Fleet {
  readonly redisUrl: string;
  readonly redisSharedWith: readonly number[];
  readonly redisLost: Promise<Error>;
  readonly #redis: FleetRedis;
  readonly #workers: readonly SupervisedProcess[];
  readonly #dashboard: SupervisedProcess | null;
  readonly #stopTimeoutMs: number;
  #stopping: Promise<void> | null = null;
  #killing: Promise<void> | null = null;

  constructor({ settings, env, workers, dashboard, say, output = 'inherit' }: FleetOptions, redis: FleetRedis) {
    this.redisUrl = redis.url;
    this.redisSharedWith = redis.sharedWith;
    this.redisLost = redis.lost;
    this.#redis = redis;
    this.#stopTimeoutMs = settings.shutdownTimeoutMs + SHUTDOWN_MARGIN_MS;
    const shared = { env: { ...env, REDIS_URL: redis.url }, output, say, beatMs: settings.heartbeatMs };
    this.#workers = Array.from(
      { length: workers },
      (_, place) => new SupervisedProcess({ ...shared, name: `Worker ${place + 1}`, command: 'worker', does: 'takes tasks' }),
    );
    this.#dashboard = dashboard ? new SupervisedProcess({ ...shared, name: 'Dashboard', command: 'dashboard', does: 'listens' }) : null;
  }

  async start(): Promise<void> {
    await Promise.all(this.#processes().map((each) => each.start()));
  }

  workers(): { index: number; pid: number | null; id: string | null }[] {
    return this.#workers.map(({ pid, id }, place) => ({ index: place + 1, pid, id }));
  }

  dashboard(): { pid: number | null; url: string | null } | null {
    return this.#dashboard && { pid: this.#dashboard.pid, url: this.#dashboard.id };
  }

  async ready(): Promise<void> {
    await Promise.all(this.#processes().map((each) => each.ready()));
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#end((each) => each.stop(this.#stopTimeoutMs));
    return this.#stopping;
  }

  killNow(): Promise<void> {
    this.#killing ??= this.#end((each) => each.kill());
    return this.#killing;
  }

  async #end(endOne: (each: SupervisedProcess) => Promise<void>): Promise<void> {
    await Promise.all(this.#processes().map(endOne));
    // Last: what the workers hand back has to find it.
    await this.#redis.stop();
  }

  #processes(): SupervisedProcess[] {
    return this.#dashboard ? [...this.#workers, this.#dashboard] : [...this.#workers];
  }
}
