import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { forget, reapAtExit } from '../../../test/support/process/reaper.js';
import type { Servers, Work } from '../compared/peer.js';

const LIMIT_MS = 60_000;
const CLOSE_LIMIT_MS = 3_000;

export type Command =
  | ({ readonly ask: 'begin' } & ExpectedJobs)
  | { readonly ask: 'create'; readonly work: Work }
  | { readonly ask: 'cpu' | 'close' };

/** The no-op and sleeping jobs that a worker process will run. */
export interface ExpectedJobs {
  readonly jobs: number;
  /** The first jobs, which do not count: `first` is the report of the job after them. */
  readonly warmUp: number;
}

/** An observation of the worker process, in ms of the machine's monotonic clock. */
export interface Report {
  readonly what: 'loaded' | 'ready' | 'first' | 'last' | 'started' | 'told' | 'created' | 'cpu';
  readonly key: string;
  readonly at: number;
  readonly cpuUs?: number;
  readonly id?: string;
}

export interface WorkerOptions {
  readonly peer: string;
  readonly servers: Servers;
  readonly slots: number;
}

/** The parent's side of a worker process. */
export class WorkerProcess {
  readonly #reports = new Map<string, Report>();
  readonly #waiting = new Map<string, (report: Report) => void>();

  private constructor(
    private readonly child: ChildProcess,
    private readonly peer: string,
  ) {
    reapAtExit(child.pid as number);
    child.on('message', (message) => this.#receive(message as Report));
  }

  /** Resolves once the peer's packages are loaded; it runs jobs only from `begin` on. */
  static async load({ peer, servers, slots }: WorkerOptions): Promise<WorkerProcess> {
    const args = [peer, JSON.stringify(servers), String(slots)];
    const child = fork(fileURLToPath(new URL('./worker-main.ts', import.meta.url)), args, { execArgv: ['--import', 'tsx'] });
    const worker = new WorkerProcess(child, peer);
    try {
      await worker.wait('loaded');
      return worker;
    } catch (error) {
      await worker.close();
      throw error;
    }
  }

  /** Starts to run jobs. The reports `first` and `last` are about the expected ones. */
  begin(expected: ExpectedJobs = { jobs: 0, warmUp: 0 }): void {
    this.#send({ ask: 'begin', ...expected });
  }

  /** Creates a job in the worker's own process. */
  async create(work: Work): Promise<string> {
    this.#send({ ask: 'create', work });
    return (await this.wait('created', work.key)).id ?? '';
  }

  /** Returns the CPU time of the process so far, in µs. */
  async cpuUs(): Promise<number> {
    this.#send({ ask: 'cpu' });
    return (await this.wait('cpu')).cpuUs ?? Number.NaN;
  }

  /** Resolves with a report, which is then forgotten. Rejects once the process has ended, or after a minute. */
  async wait(what: Report['what'], key = ''): Promise<Report> {
    const name = `${what} ${key}`;
    const there = this.#reports.get(name);
    if (there) {
      this.#reports.delete(name);
      return there;
    }
    const limit = new AbortController();
    const { signal } = limit;
    const failed = (reason: string) => () => Promise.reject(new Error(`${this.peer}: ${reason} before "${name.trim()}"`));
    try {
      return await Promise.race([
        new Promise<Report>((resolve) => this.#waiting.set(name, resolve)),
        once(this.child, 'exit', { signal }).then(failed('the worker process ended')),
        delay(LIMIT_MS, undefined, { signal }).then(failed(`nothing for ${LIMIT_MS / 1_000} s`)),
      ]);
    } finally {
      this.#waiting.delete(name);
      limit.abort();
    }
  }

  /** Closes the peer and ends the process, with SIGKILL if that takes long. */
  async close(): Promise<void> {
    const { child } = this;
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit');
      if (child.connected) child.send({ ask: 'close' } satisfies Command, () => undefined);
      const timer = setTimeout(() => child.kill('SIGKILL'), CLOSE_LIMIT_MS);
      await gone;
      clearTimeout(timer);
    }
    forget(child.pid as number);
  }

  #send(command: Command): void {
    this.child.send(command);
  }

  #receive(report: Report): void {
    const name = `${report.what} ${report.key}`;
    const waiting = this.#waiting.get(name);
    if (waiting) waiting(report);
    else this.#reports.set(name, report);
  }
}
