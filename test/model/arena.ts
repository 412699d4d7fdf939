import { randomUUID } from 'node:crypto';
import { Worker } from 'bullmq';
import { z } from 'zod';
import type { Producer } from '../../producer/index.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import type { Step } from '../../shared/store.js';
import type { ConnectedSettings, Store } from '../../shared/store.js';
import { type TaskDefinition, defineTask } from '../../shared/task/definition.js';
import { type TaskContext, defineHandler } from '../../shared/task/handler.js';
import { Launcher } from '../../worker/launcher.js';
import type { LoadedHandler } from '../../worker/task-modules.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { ATTEMPTS, type Manner, type PlayedWorker } from './facts.js';

/** The current run, which plays the handlers and may hold callers at a step. */
export interface Director {
  play(context: TaskContext, worker: PlayedWorker): Promise<unknown>;
  step(step: Step, id: string, owner: object): Promise<void>;
}

export const QUEUE = 'model';
export const SLOTS = 2;
const WORKERS = 2;
const LONG_MS = 3_600_000;

export const definitions = Object.fromEntries(
  (['once', 'quick', 'slow'] as const).map((kind) => [
    kind,
    defineTask({
      name: `${QUEUE}.${kind}`,
      input: z.unknown(),
      retry: { attempts: ATTEMPTS[kind], backoff: { type: 'fixed', delayMs: kind === 'slow' ? 60_000 : 0, jitter: 0 } },
      retention: { completed: { ageMs: 3_600_000, count: 200 }, failed: { ageMs: 3_600_000, count: 200 } },
    }),
  ]),
) as Record<Manner['kind'], TaskDefinition>;

/**
 * A fleet shared by consecutive runs while each leaves it clean: no live task, an empty registry. A run that leaves something is the
 * last one on its arena.
 */
export class Arena {
  readonly fleet: TestFleet;
  readonly prefix: string;
  readonly store: Store;
  readonly producer: Producer;
  /** A producer whose stops are recorded while their messages are refused. */
  readonly mute: Producer;
  readonly stalls: Worker;
  readonly workers: PlayedWorker[] = [];
  readonly logger = createLoggerFactory({ settings: resolveSettings({ logLevel: 'silent' }) })('worker');
  director: Director | null = null;
  #started = 0;
  readonly #closing: Promise<void>[] = [];

  private constructor(fleet: TestFleet) {
    this.fleet = fleet;
    this.prefix = fleet.newPrefix();
    const onStep = (step: Step, id: string) => this.#step(step, id, this);
    const keyPrefix = this.prefix;
    this.store = fleet.store({ keyPrefix });
    this.producer = fleet.producer({ keyPrefix, onStep });
    this.mute = fleet.producer({ keyPrefix, onStep, redisUrl: urlFor(fleet, 'mute') });
    // Used only for its check of stalled jobs, a regular duty of every worker.
    this.stalls = new Worker(QUEUE, null, {
      connection: this.store.redis,
      prefix: this.store.keys.bull(QUEUE),
      autorun: false,
      maxStalledCount: 1_000_000,
      stalledInterval: 500,
    });
    this.stalls.on('error', () => undefined);
  }

  static async open(fleet: TestFleet): Promise<Arena> {
    await fleet.client.acl('SETUSER', 'mute', 'on', '>x', '~*', 'resetchannels', '+@all');
    const arena = new Arena(fleet);
    await Promise.all(Array.from({ length: WORKERS }, () => arena.startWorker()));
    return arena;
  }

  get alive(): PlayedWorker[] {
    return this.workers.filter(({ dead, retiring }) => !dead && !retiring);
  }

  async startWorker(): Promise<void> {
    const n = (this.#started += 1);
    const user = `w-${this.prefix}-${n}`;
    await this.readmit(user);
    // Like createWorker, without the built-in tasks and their connections.
    const settings = resolveSettings({
      ...{ redisUrl: urlFor(this.fleet, user), keyPrefix: this.prefix, logLevel: 'silent', concurrency: SLOTS, reconnectDelayMs: 20 },
      ...{ stopPollMs: 50, stopGraceMs: 50, shutdownTimeoutMs: 0, reconcileMs: LONG_MS, stalledCheckMs: 60_000, lockMs: 60_000 },
    }) as ConnectedSettings;
    const played: Omit<PlayedWorker, 'launcher'> = { name: `w${n}`, id: `worker-${randomUUID()}`, user, dead: false, retiring: false };
    const worker = played as PlayedWorker;
    const launcher = new Launcher(
      {
        ...{ workerId: worker.id, pid: n, settings, loggers: createLoggerFactory({ settings }), producer: this.producer },
        hooks: [],
        telemetry: null,
        use: [],
        handlers: new Map(Object.values(definitions).map((definition) => [definition.name, this.#handlerFor(definition, worker)])),
      },
      (step, id) => this.#step(step, id, worker),
    );
    this.workers.push(Object.assign(worker, { launcher }));
    await launcher.start();
    await launcher.ready();
  }

  /** Stops a worker. Resolves when it has ended, which takes longer without Redis. */
  retire(worker: PlayedWorker): Promise<void> {
    this.workers.splice(this.workers.indexOf(worker), 1);
    const ended = worker.launcher
      .stop()
      .then(() => this.fleet.client.acl('DELUSER', worker.user))
      .then(() => undefined);
    this.#closing.push(ended);
    return ended;
  }

  /** Lets a worker whose user was deleted reach Redis again. */
  async readmit(user: string): Promise<void> {
    await this.fleet.client.acl('SETUSER', user, 'on', '>x', '~*', '&*', '+@all');
  }

  #handlerFor(definition: TaskDefinition, worker: PlayedWorker): LoadedHandler {
    const handler = defineHandler(definition, (context) => this.director?.play(context, worker));
    return { ...handler, source: { moduleUrl: '', name: definition.name } };
  }

  #step(step: Step, id: string, owner: object): Promise<void> {
    return this.director?.step(step, id, owner) ?? Promise.resolve();
  }

  async close(): Promise<void> {
    await Promise.all([...this.#closing, ...this.workers.map(({ launcher }) => launcher.stop())]);
    await this.stalls.close();
  }
}

function urlFor(fleet: TestFleet, user: string): string {
  return fleet.redis.url.replace('redis://', `redis://${user}:x@`);
}
