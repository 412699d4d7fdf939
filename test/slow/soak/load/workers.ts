import { setTimeout as delay } from 'node:timers/promises';
import { COMMAND } from '../../../support/process/command.js';
import { type NodeProcess, spawnNode } from '../../../support/process/processes.js';
import type { Freeze } from '../../faults/audit/frozen.js';
import { now } from '../../faults/load/clock.js';
import { LOAD_MODULE } from '../../faults/load/load-task.js';
import { KEY_PREFIX } from './deployment.js';
import { SHUTDOWN_TIMEOUT_MS, WORKER_SETTINGS } from './soak-task.js';

export interface SoakWorkersOptions {
  readonly count: number;
  /** The concurrency of each worker. */
  readonly slots: number;
  /** Settings for the connection to Redis. */
  readonly env: Readonly<Record<string, string>>;
  /** The folder for the notes of handlers. */
  readonly logFolder: string;
}

const START_LIMIT_MS = 60_000;
/** The guaranteed margin beyond SHUTDOWN_TIMEOUT_MS, and the exit of a process on a busy machine. */
const MOST_SHUTDOWN_MS = SHUTDOWN_TIMEOUT_MS + 2_000 + 3_000;

/** The worker processes: one per place, except between an end and the next start. */
export class SoakWorkers {
  /** Unexpected events. */
  readonly problems: string[] = [];
  readonly freezes: Freeze[] = [];
  readonly #options: SoakWorkersOptions;
  readonly #places: (NodeProcess | null)[];
  readonly #started: NodeProcess[] = [];
  readonly #ending = new Set<NodeProcess>();

  constructor(options: SoakWorkersOptions) {
    this.#options = options;
    this.#places = Array.from({ length: options.count }, () => null);
  }

  /** The folder for the notes of their handlers. */
  get logFolder(): string {
    return this.#options.logFolder;
  }

  /** The number of processes started. */
  get started(): number {
    return this.#started.length;
  }

  /** The pid at each place; null without a process. */
  get pids(): (number | null)[] {
    return this.#places.map((worker) => worker?.pid ?? null);
  }

  /** Starts the workers. Resolves when all take tasks. */
  async start(): Promise<void> {
    await Promise.all(this.#places.map((_, place) => this.#startAt(place)));
  }

  /** Ends the worker at this place, and starts another one after `awayMs`. */
  async replace(place: number, signal: 'SIGKILL' | 'SIGTERM', awayMs: number): Promise<void> {
    const worker = this.#places[place];
    if (worker) await this.#end(place, worker, signal);
    await delay(awayMs);
    await this.#startAt(place).catch(
      (error: unknown) => void this.problems.push(`worker ${place + 1} did not start: ${String(error).split('\n')[0]}`),
    );
  }

  async freeze(place: number, forMs: number): Promise<void> {
    const worker = this.#places[place];
    if (!worker) return;
    worker.kill('SIGSTOP');
    const from = now();
    await delay(forMs);
    worker.kill('SIGCONT');
    this.freezes.push({ pid: worker.pid, from, to: now() });
  }

  /** Sends SIGTERM to all. */
  async stop(): Promise<void> {
    await Promise.all(this.#places.map(async (worker, place) => worker && this.#end(place, worker, 'SIGTERM')));
  }

  /** Returns the last output lines of each process. */
  lastLines(count: number): string {
    return this.#started
      .map(({ pid, stderr, stdout }) => [`--- worker, pid ${pid}`, ...[...stdout.lines, ...stderr.lines].slice(-count)].join('\n'))
      .join('\n');
  }

  async #startAt(place: number): Promise<void> {
    const { env, slots, logFolder } = this.#options;
    const settings = {
      REDIS_KEY_PREFIX: KEY_PREFIX,
      TASK_MODULES: LOAD_MODULE,
      WORKER_CONCURRENCY: String(slots),
      THREAD_POOL_SIZE: '2',
      FAULT_LOG: logFolder,
    };
    const worker = spawnNode([COMMAND, 'worker'], { env: { ...settings, ...WORKER_SETTINGS, ...env } });
    this.#started.push(worker);
    this.#places[place] = worker;
    void worker.exit.then(({ code, signal }) => {
      if (!this.#ending.has(worker))
        this.problems.push(`worker ${place + 1} (pid ${worker.pid}) ended unexpectedly: code ${code}, signal ${signal}`);
    });
    await worker.waitForLine(/Worker is ready/, { timeoutMs: START_LIMIT_MS });
  }

  async #end(place: number, worker: NodeProcess, signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    this.#ending.add(worker);
    this.#places[place] = null;
    const at = now();
    worker.kill(signal);
    const timer = setTimeout(
      () => {
        this.problems.push(`worker ${place + 1} (pid ${worker.pid}) did not end within ${MOST_SHUTDOWN_MS} ms of its ${signal}`);
        worker.kill('SIGKILL');
      },
      MOST_SHUTDOWN_MS - (now() - at),
    );
    await worker.exit;
    clearTimeout(timer);
  }
}
