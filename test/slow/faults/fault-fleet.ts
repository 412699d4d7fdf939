import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Producer, createProducer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import { type ConnectedSettings, type Store, openStore } from '../../../shared/store.js';
import { COMMAND } from '../../support/process/command.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { type AuditReport, audit } from './audit/audit.js';
import { EndLog } from './audit/end-log.js';
import { HandlerLog } from './audit/handler-log.js';
import { History } from './audit/history.js';
import { endedIds, leftovers } from './audit/leftovers.js';
import { whileMoving, within } from './load/clock.js';
import { LOAD_MODULE, type LoadKind, loadTask } from './load/load-task.js';
import { Load, type LoadOptions } from './load/load.js';
import { FULL } from './size.js';

/** A Redis deployment: one server, sentinels or a cluster. */
export interface Deployment {
  /** Settings for producers. */
  readonly config: SettingsInput & { readonly redisUrl: string };
  /** The same as environment, for worker processes. */
  readonly env: Readonly<Record<string, string>>;
  stop(): Promise<void>;
}

export interface WorkerOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Options of `node`, such as `['--import', file]`. */
  readonly node?: readonly string[];
}

export interface FleetOptions {
  readonly deployment: Deployment;
  readonly load: LoadOptions;
  readonly workers: number;
  /** Concurrency of each worker. */
  readonly slots: number;
  /** Settings of all workers. */
  readonly env: Readonly<Record<string, string>>;
}

/** Recovery times after the fault in ms; null without recovery in time. */
export interface Recovery {
  readonly enqueueMs: number;
  /** Until a task begun after the fault had ended. */
  readonly taskMs: number;
  /** Until a stop requested after the fault was settled. */
  readonly stopMs: number;
}

const START_LIMIT_MS = 60_000;
/** Kinds of tasks with one attempt. */
const AT_ONCE: ReadonlySet<LoadKind> = new Set(['run', 'deaf', 'spin']);
/** An entry waits up to ENQUEUE_GRACE_MS, a stop for a lock, and each for the next reconciler run. */
const REST_IDLE_MS = FULL ? 180_000 : 30_000;

/** Worker processes and clients under load, with the record of their actions. */
export class FaultFleet {
  readonly workers: NodeProcess[] = [];
  readonly keyPrefix = 'faults';

  private constructor(
    readonly options: FleetOptions,
    readonly history: History,
    readonly log: HandlerLog,
    readonly producer: Producer,
    readonly store: Store,
    readonly ends: EndLog,
    readonly load: Load,
  ) {}

  /** Opens clients and workers. `begin` starts the load. */
  static async start(options: FleetOptions): Promise<FaultFleet> {
    const { deployment, load } = options;
    const log = new HandlerLog(await mkdtemp(join(tmpdir(), 'taskfleet-faults-')));
    const config = { ...deployment.config, keyPrefix: 'faults', logLevel: 'silent' } as const;
    const producer = createProducer(config);
    const settings = resolveSettings(config) as ConnectedSettings;
    const store = openStore({ settings, policy: 'wait', loggers: createLoggerFactory({ settings }), name: 'audit' });
    const history = new History();
    const ends = new EndLog(store);
    const fleet = new FaultFleet(options, history, log, producer, store, ends, new Load(producer, history, log, ends, load));
    fleet.ends.start();
    await Promise.all(Array.from({ length: options.workers }, () => fleet.startWorker()));
    return fleet;
  }

  /** Starts a worker. Resolves when it takes tasks. */
  async startWorker({ env = {}, node = [] }: WorkerOptions = {}): Promise<NodeProcess> {
    const { deployment, slots } = this.options;
    const settings = {
      ...deployment.env,
      REDIS_KEY_PREFIX: this.keyPrefix,
      TASK_MODULES: LOAD_MODULE,
      WORKER_CONCURRENCY: String(slots),
      FAULT_LOG: this.log.folder,
    };
    const worker = spawnNode([...node, COMMAND, 'worker'], { env: { ...settings, ...this.options.env, ...env } });
    this.workers.push(worker);
    await worker.waitForLine(/Worker is ready/, { timeoutMs: START_LIMIT_MS });
    return worker;
  }

  /** Starts the load. Resolves when the workers are busy. */
  async begin(): Promise<void> {
    await this.load.start();
    const { workers, slots, load } = this.options;
    if (load.backlog >= workers * slots) await Promise.all(this.workers.map((worker) => this.busy(worker)));
  }

  /** Resolves when a worker has filled half of its slots. On a slow machine the first of their tasks may have ended by then. */
  async busy({ pid }: NodeProcess): Promise<void> {
    const read = (): { readonly begun: number; readonly running: number } => {
      const runs = this.log
        .refresh()
        .all()
        .filter((run) => run.pid === pid);
      return { begun: runs.length, running: runs.filter(({ endedAt }) => endedAt === null).length };
    };
    await whileMoving(
      'a busy worker',
      { idleMs: START_LIMIT_MS },
      read,
      ({ begun, running }) => begun >= this.options.slots / 2 && running > 0,
    );
  }

  /** Resolves when enqueues, tasks and stops work again after a fault. @throws an error that names what does not */
  async recovered(faultAt: number, limitMs: number): Promise<Recovery> {
    const read = (): { [Name in keyof Recovery]: number | null } => {
      const [enqueued, stopped] = [this.history.enqueueWorkedAt(faultAt), this.history.stopWorkedAt(faultAt)];
      const task = this.#taskWorkedAt(faultAt);
      const [enqueueMs = null, taskMs = null, stopMs = null] = [enqueued, task, stopped].map((at) =>
        at === null ? null : Math.round(at - faultAt),
      );
      return { enqueueMs, taskMs, stopMs };
    };
    const recovery = await within('recovery', limitMs, read, (found) => Object.values(found).every((ms) => ms !== null));
    return recovery as Recovery;
  }

  /**
   * Returns the time from the fault to the end of the last task that ran then, in ms. Counts tasks with one attempt only: a retry
   * runs after all waiting tasks.
   */
  tailOf(faultAt: number): number {
    const ids = new Set(this.log.at(faultAt).map(({ id }) => id));
    const ends = [...ids]
      .filter((id) => AT_ONCE.has(this.history.enqueued.get(id)?.kind ?? 'hold'))
      .map((id) => this.ends.ends.get(id)?.[0]?.at ?? faultAt);
    return Math.round(Math.max(faultAt, ...ends) - faultAt);
  }

  /**
   * Ends the load, waits until the fleet is at rest, and audits. The audit reports what does not come to rest.
   * @param lossy whether the fault may undo stops: endless tasks are stopped once more, and count as lost stops
   */
  async settle(lossy: boolean): Promise<AuditReport> {
    await this.load.end();
    const look = async (): Promise<{ readonly left: number; readonly runs: number; readonly ends: number }> => {
      await this.load.stopUnacknowledged();
      if (lossy) await this.load.stopAgain();
      return { left: await this.#unrest(), runs: this.log.runs.size, ends: this.ends.ends.size };
    };
    await whileMoving('rest', { idleMs: REST_IDLE_MS }, look, ({ left }) => left === 0).catch(() => undefined);
    return audit({ store: this.store, history: this.history, log: this.log, ends: this.ends });
  }

  async close(): Promise<void> {
    this.load.halt();
    for (const worker of this.workers) worker.kill('SIGCONT');
    await Promise.all([this.producer.close(), this.ends.close()]);
    for (const worker of this.workers) worker.kill('SIGKILL');
    await Promise.all(this.workers.map(({ exit }) => exit));
    await this.store.close();
    await this.options.deployment.stop();
    await rm(this.log.folder, { recursive: true, force: true });
  }

  #taskWorkedAt(faultAt: number): number | null {
    const begun = this.log
      .refresh()
      .all()
      .filter(({ beganAt }) => beganAt >= faultAt);
    const ends = begun.flatMap(({ id }) => (this.ends.ends.get(id) ?? []).map(({ at }) => at).filter((at) => at > faultAt));
    return ends.length === 0 ? null : Math.min(...ends);
  }

  /** Returns the number of unfinished tasks. */
  async #unrest(): Promise<number> {
    const left = await leftovers(this.store, loadTask.queue, await endedIds(this.store, loadTask.queue));
    return Object.values(left).reduce((sum, count) => sum + count, 0);
  }
}
