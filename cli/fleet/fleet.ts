import { type EmbeddedRedis, startEmbeddedRedis } from '../../shared/embedded-redis/embedded.js';
import type { LoggerFactory } from '../../shared/log/logger.js';
import { connect, ready } from '../../shared/redis/connect.js';
import type { Environment, Settings } from '../../shared/settings/settings.js';
import { type ProcessOutput, SupervisedProcess } from './supervised-process.js';

interface FleetOptions {
  readonly settings: Settings;
  /** The environment that `settings` were read from. The processes inherit it, with REDIS_URL set to the Redis in use. */
  readonly env: Environment;
  /** The working directory of the processes. */
  readonly cwd: string;
  /** Number of worker processes. */
  readonly workers: number;
  /** Whether to run a dashboard, in its own process. */
  readonly dashboard: boolean;
  /** The embedded Redis's data folder, used if `settings` has no `redisUrl`. */
  readonly redisDir: string;
  /** Receives notices for the user, such as an installation or a worker's restart. */
  readonly say: (line: string) => void;
  readonly loggers: LoggerFactory;
  /** Destination of the processes' standard output and error. Default: `inherit`. */
  readonly output?: ProcessOutput;
  /** Aborts the start. */
  readonly signal?: AbortSignal;
}

/** A Redis, worker processes and a dashboard, all on this machine. */
export interface Fleet {
  readonly redisUrl: string;
  /** Pids of other processes that shared the embedded Redis at the start; the last to exit stops it. Empty with a REDIS_URL. */
  readonly redisSharedWith: readonly number[];
  /** Resolves with the reason if the embedded Redis dies and cannot be restarted. */
  readonly redisLost: Promise<Error>;
  /** Returns the worker processes: `index` counts from 1; `pid` is null during a restart; `id` is null until the worker takes tasks. */
  workers(): { index: number; pid: number | null; id: string | null }[];
  /** Returns the dashboard, or null if the fleet has none; `url` is null until it listens. */
  dashboard(): { pid: number | null; url: string | null } | null;
  /**
   * Resolves when all workers are connected and take tasks, and the dashboard listens.
   * @throws FleetError with the code of the error that prevents a worker from running (`INVALID_TASK_MODULE` …); `CLOSED` if the fleet
   *   is stopped first
   */
  ready(): Promise<void>;
  /** Sends SIGTERM, then SIGKILL 5 s after SHUTDOWN_TIMEOUT_MS, then releases the embedded Redis. Idempotent. */
  stop(): Promise<void>;
  /** Sends SIGKILL to the processes, then releases the embedded Redis, which still shuts down cleanly. Cuts a `stop` short. Idempotent. */
  killNow(): Promise<void>;
}

/** Extra time after a process's shutdown timeout, to requeue tasks and close connections. */
const SHUTDOWN_MARGIN_MS = 5_000;

/**
 * Starts a fleet: the workers, the dashboard and, without a Redis URL, an embedded Redis. Resolves when the processes exist
 * (see `ready` for more). Undoes a start that fails. If this process dies, the workers notice and shut down gracefully.
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

  constructor({ settings, env, cwd, workers, dashboard, say, output = 'inherit' }: FleetOptions, redis: FleetRedis) {
    this.redisUrl = redis.url;
    this.redisSharedWith = redis.sharedWith;
    this.redisLost = redis.lost;
    this.#redis = redis;
    this.#stopTimeoutMs = settings.shutdownTimeoutMs + SHUTDOWN_MARGIN_MS;
    const shared = { env: { ...env, REDIS_URL: redis.url }, cwd, output, say, beatMs: settings.heartbeatMs };
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
    // Redis stops last: the workers requeue their tasks there.
    await this.#redis.stop();
  }

  #processes(): SupervisedProcess[] {
    return this.#dashboard ? [...this.#workers, this.#dashboard] : [...this.#workers];
  }
}
