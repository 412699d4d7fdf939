import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Producer, createProducer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/logger.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import { type ConnectedSettings, type Store, openStore } from '../../../shared/store.js';
import { COMMAND } from '../../support/process/command.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { type AuditReport, audit } from './audit.js';
import { now, within } from './clock.js';
import { EndLog } from './end-log.js';
import { HandlerLog } from './handler-log.js';
import { History } from './history.js';
import { endedIds, leftovers } from './leftovers.js';
import { Load, type LoadOptions } from './load.js';
import { FULL } from './size.js';
import { LOAD_MODULE, type LoadKind, loadTask } from './load-task.js';

/** A Redis to test on: one server, or several that belong together. */
export interface Deployment {
  /** For producers. */
  readonly config: SettingsInput & { readonly redisUrl: string };
  /** The same for worker processes. */
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
  /** Of each worker. */
  readonly slots: number;
  /** Settings of all workers. */
  readonly env: Readonly<Record<string, string>>;
}

/** How long after the fault each of these worked again, in ms; null if it did not in the time that it had. */
export interface Recovery {
  readonly enqueueMs: number;
  /** Until a task that began after the fault had ended. */
  readonly taskMs: number;
  /** Until a stop that was asked for after the fault was settled. */
  readonly stopMs: number;
}

const START_LIMIT_MS = 60_000;
/** Kinds that end with their first attempt. */
const AT_ONCE: ReadonlySet<LoadKind> = new Set(['run', 'deaf', 'spin']);
/** At most an entry waits for ENQUEUE_GRACE_MS, a stop for a lock, and each for the next reconciler. */
const REST_LIMIT_MS = FULL ? 180_000 : 30_000;

/** Worker processes and clients under load, and all that is known of what they did. */
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

  /** Opens clients and workers. The load begins with `begin`. */
  static async start(options: FleetOptions): Promise<FaultFleet> {
    const { deployment, load } = options;
    const log = new HandlerLog(await mkdtemp(join(tmpdir(), 'taskfleet-faults-')));
    const config = { ...deployment.config, keyPrefix: 'faults', logLevel: 'silent' } as const;
    const producer = createProducer(config);
    const settings = resolveSettings(config) as ConnectedSettings;
    const store = openStore({ settings, policy: 'wait', loggers: createLoggerFactory({ settings }), name: 'audit' });
    const history = new History();
    const fleet = new FaultFleet(options, history, log, producer, store, new EndLog(store), new Load(producer, history, log, load));
    fleet.ends.start();
    await Promise.all(Array.from({ length: options.workers }, () => fleet.startWorker()));
    return fleet;
  }

  /** One more worker; it takes tasks when this resolves. */
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

  /** Begins the load. Resolves when the workers have as much to do as they can. */
  async begin(): Promise<void> {
    await this.load.start();
    const { workers, slots, load } = this.options;
    if (load.backlog >= workers * slots) await Promise.all(this.workers.map((worker) => this.busy(worker)));
  }

  /** Resolves when a worker runs as many tasks as it can, or nearly. */
  async busy({ pid }: NodeProcess): Promise<void> {
    const running = (): number =>
      this.log
        .refresh()
        .at(now())
        .filter((run) => run.pid === pid).length;
    await within('a busy worker', START_LIMIT_MS, running, (count) => count >= this.options.slots / 2);
  }

  /** Resolves when enqueues, tasks and stops work again after a fault. @throws an error that says what does not */
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
   * Of the tasks that ran at the time of the fault and end by themselves with one attempt: how long after it the last one
   * ended, in ms. What fails comes after all that waits.
   */
  tailOf(faultAt: number): number {
    const ids = new Set(this.log.at(faultAt).map(({ id }) => id));
    const ends = [...ids]
      .filter((id) => AT_ONCE.has(this.history.enqueued.get(id)?.kind ?? 'hold'))
      .map((id) => this.ends.ends.get(id)?.[0]?.at ?? faultAt);
    return Math.round(Math.max(faultAt, ...ends) - faultAt);
  }

  /**
   * Ends the load, waits until all is at rest, and audits. What does not come to rest is the audit's to tell.
   * @param lossy whether the fault undoes stops: what runs for ever is stopped once more then, and counts as a lost stop
   */
  async settle(lossy: boolean): Promise<AuditReport> {
    await this.load.end();
    const look = async (): Promise<number> => {
      await this.load.stopUnacknowledged();
      if (lossy) await this.load.stopAgain();
      return this.#unrest();
    };
    await within('rest', REST_LIMIT_MS, look, (left) => left === 0).catch(() => undefined);
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

  /** What is still to be done. */
  async #unrest(): Promise<number> {
    const left = await leftovers(this.store, loadTask.queue, await endedIds(this.store, loadTask.queue));
    return Object.values(left).reduce((sum, count) => sum + count, 0);
  }
}
