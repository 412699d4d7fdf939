import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createProducer } from '../../../producer/index.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { type ConnectedSettings, type Store, openStore } from '../../../shared/store.js';
import { built } from '../../support/process/built.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { type AuditCounts, audit } from '../faults/audit/audit.js';
import { EndLog } from '../faults/audit/end-log.js';
import { isOfFrozen } from '../faults/audit/frozen.js';
import { HandlerLog } from '../faults/audit/handler-log.js';
import { History } from '../faults/audit/history.js';
import { endedIds, leftovers } from '../faults/audit/leftovers.js';
import { now, whileMoving } from '../faults/load/clock.js';
import { readJournal } from './journal.js';
import type { ClientOrder } from './load/client-process.js';
import type { ClientCounts } from './load/client.js';
import { KEY_PREFIX, type SoakDeployment, deploy } from './load/deployment.js';
import { FaultLanes, type Struck } from './load/faults.js';
import { planOf } from './load/plan.js';
import { LOCK_MS, soakTask } from './load/soak-task.js';
import { SoakWorkers } from './load/workers.js';
import type { SoakOptions } from './options.js';
import { Archive } from './report/archive.js';
import { type Verdict, verdictOf } from './report/verdict.js';
import { type RedisSample, type Sample, Sampler } from './sampler.js';

export interface SoakResult extends Verdict {
  readonly options: SoakOptions;
  /** The length of the load in ms. */
  readonly lastedMs: number;
  readonly audit: AuditCounts;
  readonly enqueued: number;
  /** The number of worker processes started. */
  readonly workers: number;
  readonly faults: readonly Struck[];
  readonly samples: readonly Sample[];
  /** The final measurements of Redis, and its keys by kind. */
  readonly rest: RedisSample | null;
  readonly keys: Readonly<Record<string, number>>;
}

const WORKERS = 3;
const SLOTS = 10;
const LOAD = { perSecond: 30, stopsPerSecond: 6, holds: 8 };
const PROGRESS_EVERY_MS = 10_000;
const SAMPLE_EVERY_MS = 5_000;
/** The number of samples in a short run, for enough points in the plot. */
const SAMPLES = 60;
/** The time after a fault until all clients have reconnected and a new worker has all its connections. */
const CALM_AFTER_MS = 5_000;
const START_LIMIT_MS = 60_000;
const END_LIMIT_MS = 120_000;
const REST_IDLE_MS = 60_000;
/** A handler silent for longer has ended with its process. */
const ALIVE_MS = 1_000;
const SHOWN_LINES = 200;
/** Codes that leave open whether a rejected enqueue added a task. */
const UNSURE: ReadonlySet<string> = new Set(['REDIS_UNAVAILABLE', 'NOT_REPLICATED']);
const NO_COUNTS: ClientCounts = { enqueued: 0, stops: 0, rejected: 0 };

/** A fleet under load during a plan of faults, with its measurements. */
export class Soak {
  readonly #ending = new AbortController();
  readonly #problems: string[] = [];
  #client: NodeProcess | null = null;
  #lanes: FaultLanes | null = null;
  #sampler: Sampler | null = null;
  #lastedMs = 0;

  private constructor(
    private readonly options: SoakOptions,
    private readonly say: (line: string) => void,
    private readonly folder: string,
    private readonly deployment: SoakDeployment,
    private readonly store: Store,
    private readonly ends: EndLog,
    private readonly archive: Archive,
    private readonly workers: SoakWorkers,
  ) {}

  static async open(options: SoakOptions, say: (line: string) => void): Promise<Soak> {
    const { seed, minutes, topology } = options;
    say(`Seed ${seed}: npm run soak -- --minutes ${minutes} --seed ${seed} --topology ${topology}${options.faults ? '' : ' --no-faults'}`);
    const deployment = await deploy(topology);
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-soak-'));
    const settings = resolveSettings({ ...deployment.config, keyPrefix: KEY_PREFIX, logLevel: 'silent' }) as ConnectedSettings;
    const store = openStore({ settings, policy: 'wait', loggers: createLoggerFactory({ settings }), name: 'audit' });
    // Additional events kept for the audit would make Redis grow, and this load has no bursts.
    const ends = new EndLog(store, false);
    const logFolder = await mkdtemp(join(folder, 'handlers-'));
    const workers = new SoakWorkers({ count: WORKERS, slots: SLOTS, env: deployment.env, logFolder });
    return new Soak(options, say, folder, deployment, store, ends, new Archive(store, ends), workers);
  }

  /** Runs the load until its time is over or `early` is aborted. */
  async run(early: AbortSignal): Promise<void> {
    const { minutes, seed, topology, faults } = this.options;
    const plan = faults ? planOf({ seed, minutes, topology, workers: WORKERS, lockMs: LOCK_MS }) : { workers: [], redis: [] };
    this.say(
      `${minutes} min on ${topology}: ${WORKERS} workers, ${LOAD.perSecond} enqueues and ${LOAD.stopsPerSecond} stops per second, ` +
        `${plan.workers.length} worker faults and ${plan.redis.length} Redis faults`,
    );
    await this.workers.start();
    this.ends.start();
    this.archive.start();
    const client = await this.#startClient();
    const lanes = new FaultLanes({ deployment: this.deployment, workers: this.workers }, AbortSignal.any([early, this.#ending.signal]));
    this.#lanes = lanes;
    const pids = (): Map<string, number | null> =>
      new Map([['producer', client.pid], ...this.workers.pids.map((pid, place): [string, number | null] => [`worker ${place + 1}`, pid])]);
    const everyMs = Math.min(SAMPLE_EVERY_MS, (minutes * 60_000) / SAMPLES);
    this.#sampler = new Sampler({ deployment: this.deployment, pids, calm: () => lanes.calmFor(CALM_AFTER_MS), everyMs });
    this.#sampler.start();
    const startedAt = now();
    const progress = setInterval(() => this.#progress(now() - startedAt), PROGRESS_EVERY_MS);
    const striking = lanes.run(plan).catch((error: unknown) => {
      this.#problems.push(`could not cause a fault: ${String(error)}`);
      this.#ending.abort();
    });
    await delay(minutes * 60_000, undefined, { signal: AbortSignal.any([early, this.#ending.signal]) }).catch(() => undefined);
    this.#lastedMs = now() - startedAt;
    await this.#sampler.stop();
    this.#ending.abort();
    await striking;
    clearInterval(progress);
    this.#progress(this.#lastedMs);
  }

  /** Ends the load, waits until the fleet is at rest, audits it and compares the measurements. */
  async settle(): Promise<SoakResult> {
    this.say('The load is over: waiting for rest.');
    await this.#endClient();
    const history = new History();
    const rejected = readJournal(this.#journal, history);
    const log = new HandlerLog(this.workers.logFolder);
    await this.#rest(history, log);
    this.say('Audit.');
    await this.ends.read();
    await this.archive.close();
    await this.archive.read();
    const { counts, problems } = await audit({ store: this.archive.store(), history, log, ends: this.ends });
    const frozen = problems.filter((problem) => isOfFrozen(problem, { history, log }, this.workers.freezes, LOCK_MS));
    const extra = [...this.archive.ids].filter((id) => !history.enqueued.has(id));
    const sampler = this.#sampler as Sampler;
    const rest = await sampler.redis();
    const keys = await sampler.kindsOfKeys();
    await this.workers.stop();
    const verdict = verdictOf(sampler.samples, { rest, topology: this.options.topology });
    return {
      ...{
        options: this.options,
        lastedMs: Math.round(this.#lastedMs),
        audit: { ...counts, madeThoughRejected: extra.length, zombies: counts.zombies + frozen.length },
        enqueued: history.enqueued.size,
        workers: this.workers.started,
      },
      ...{ faults: this.#lanes?.struck ?? [], samples: sampler.samples, rest, keys, growths: verdict.growths, untold: verdict.untold },
      problems: [
        ...problems.filter((problem) => !frozen.includes(problem)).map(({ kind, id, what }) => `${kind}: ${id} ${what}`),
        ...extra
          .filter((id) => !UNSURE.has(rejected.get(id) ?? ''))
          .map((id) => `added though rejected: ${id} was never acknowledged, and ended`),
        ...extra
          .filter((id) => this.ends.ends.get(id)?.length !== 1)
          .map((id) => `two outcomes: ${id} was never acknowledged, and ended more than once`),
        ...verdict.problems,
        ...this.workers.problems,
        ...this.#problems,
      ],
    };
  }

  /** Returns the last output lines of each worker. */
  lastLines(): string {
    return this.workers.lastLines(SHOWN_LINES);
  }

  async close(): Promise<void> {
    await this.#sampler?.stop();
    this.#client?.kill('SIGKILL');
    await this.#client?.exit;
    await this.workers.stop();
    await Promise.all([this.ends.close(), this.archive.close()]);
    await this.store.close();
    await this.deployment.stop();
    await rm(this.folder, { recursive: true, force: true });
  }

  get #journal(): string {
    return join(this.folder, 'journal');
  }

  async #startClient(): Promise<NodeProcess> {
    const order: ClientOrder = {
      config: { ...this.deployment.config, keyPrefix: KEY_PREFIX, logLevel: 'silent' },
      load: LOAD,
      journal: this.#journal,
    };
    const client = spawnNode(['--enable-source-maps', built('test/slow/soak/load/client-process.js')], {
      env: { SOAK_CLIENT: JSON.stringify(order) },
    });
    this.#client = client;
    await client.waitForLine(/^begins$/, { timeoutMs: START_LIMIT_MS });
    return client;
  }

  /** Ends the load of the producer's process, which exits once every call is answered. */
  async #endClient(): Promise<void> {
    const client = this.#client as NodeProcess;
    client.kill('SIGTERM');
    const timer = setTimeout(() => client.kill('SIGKILL'), END_LIMIT_MS);
    const { code, signal } = await client.exit;
    clearTimeout(timer);
    if (code !== 0)
      this.#problems.push(
        `the producer's process ended with code ${code}, signal ${signal}: ${client.stderr.lines.slice(0, 10).join(' ')}`,
      );
  }

  /** Resolves when the fleet is at rest. The audit reports what does not come to rest. */
  async #rest(history: History, log: HandlerLog): Promise<void> {
    const producer = createProducer({ ...this.deployment.config, keyPrefix: KEY_PREFIX, logLevel: 'silent' });
    const look = async (): Promise<{ readonly left: number; readonly runs: number }> => {
      // Endless tasks whose enqueue was rejected.
      const unknown = log
        .refresh()
        .at(now())
        .filter(({ id, lastAt }) => !history.enqueued.has(id) && now() - lastAt < ALIVE_MS)
        .map(({ id }) => id);
      for (const id of unknown) history.asked.add(id);
      if (unknown.length > 0) await producer.stop(unknown, { by: 'soak' });
      const left = await leftovers(this.store, soakTask.queue, await endedIds(this.store, soakTask.queue));
      return { left: Object.values(left).reduce((sum, count) => sum + count, 0), runs: log.runs.size };
    };
    await whileMoving('rest', { idleMs: REST_IDLE_MS }, look, ({ left }) => left === 0).catch(() => undefined);
    await producer.close();
  }

  #progress(elapsedMs: number): void {
    const last = this.#client?.stdout.lines.findLast((line) => line.startsWith('{'));
    const { enqueued, stops, rejected } = last === undefined ? NO_COUNTS : (JSON.parse(last) as ClientCounts);
    const seconds = Math.round(elapsedMs / 1_000);
    const time = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    const faults = this.#lanes?.struck.length ?? 0;
    const counts = `${enqueued} enqueued, ${this.ends.ends.size} ended, ${stops} stops, ${rejected} calls rejected, ${faults} faults`;
    this.say(`${time.padStart(6)}  ${counts}`);
  }
}
