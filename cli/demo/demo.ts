import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { identifyProcess } from '../../shared/redis/process-identity.js';
import type { Environment } from '../../shared/settings.js';
import type { Fleet } from '../fleet.js';
import { EXIT } from '../exit-codes.js';
import { ClientProcess } from './client-process.js';
import { type Paint, createPaint } from './columns.js';
import { hintsFor } from './hints.js';
import type { OpenAiServer } from './openai-server.js';
import { type Stage, openStage } from './stage.js';
import { WorkerLog } from './worker-log.js';

export interface DemoOptions {
  readonly env: Environment;
  readonly out: NodeJS.WriteStream;
  /** Shut down after the show instead of staying up. */
  readonly exit: boolean;
  /** Aborted when the user wants it to end. */
  readonly signal: AbortSignal;
  /** Aborted when the user does not want to wait for a clean end of the workers. */
  readonly hurry: AbortSignal;
}

type WorkerList = ReturnType<Fleet['workers']>;

const READY_MS = 20_000;
const STREAMS_WAIT_MS = 2_000;
const POLL_MS = 50;

/** Runs the demo from start to clean end, once. */
export class Demo {
  readonly #options: DemoOptions;
  readonly #paint: Paint;
  readonly #log: WorkerLog;
  /** Every process that the demo has started. */
  readonly #pids = new Set<number>();

  constructor(options: DemoOptions) {
    this.#options = options;
    this.#paint = createPaint(options.out);
    this.#log = new WorkerLog((line) => this.#say(this.#paint('dim', line)));
  }

  /**
   * Returns the exit code: 0 if everything ended as it should, 1 if not, 130 if it was interrupted before that was known.
   * @throws FleetError of the fleet's start; Error if the workers do not get ready
   */
  async run(): Promise<number> {
    const { env, exit, signal, hurry } = this.#options;
    this.#say(`${this.#paint('bold', 'taskfleet demo')}: starting a Redis, two workers and a local OpenAI server …`);
    const stage = await openStage({ env, say: this.#log.say, onLine: this.#log.add });
    this.#noteFleet(stage);
    hurry.addEventListener('abort', () => void stage.fleet.killNow());
    let code: number = EXIT.INTERRUPTED;
    try {
      await untilReady(stage.fleet, signal);
      if (!signal.aborted) code = await this.#show(stage);
      if (!exit && !signal.aborted) {
        for (const line of hintsFor(stage.redisUrl, stage.fleet.dashboard()?.url ?? null)) this.#say(line);
        await once(signal, 'abort');
      }
    } finally {
      this.#say(this.#paint('dim', '\nShutting down …'));
      this.#noteFleet(stage);
      await stage.close();
    }
    return this.#farewell(code);
  }

  /** Runs the client; afterwards the fleet should be as it was before. */
  async #show(stage: Stage): Promise<number> {
    const { signal } = this.#options;
    const before = stage.fleet.workers();
    this.#log.hold();
    const client = new ClientProcess(stage.clientEnv);
    this.#introduce('OpenAI server', null, stage.openAi.url);
    this.#introduce('redis-server', stage.redisPid, stage.redisUrl);
    for (const { index, pid } of before) this.#introduce(`worker ${index}`, pid);
    const dashboard = stage.fleet.dashboard();
    if (dashboard) this.#introduce('dashboard', dashboard.pid, dashboard.url ?? '');
    this.#introduce('client', client.pid);
    const end = (): void => void client.end();
    signal.addEventListener('abort', end);
    const status = await client.exit;
    signal.removeEventListener('abort', end);
    if (signal.aborted) return EXIT.INTERRUPTED;
    this.#log.release('\nWhat the workers had to say:');
    const problems = await problemsOf(stage, before);
    for (const problem of problems) this.#say(this.#paint('red', `Not as it should be: ${problem}`));
    return status === EXIT.DONE && problems.length > 0 ? EXIT.TASK_FAILED : (status ?? EXIT.INTERNAL);
  }

  #introduce(name: string, pid: number | null, where = ''): void {
    this.#note(pid);
    const about = `${(pid === null ? 'here' : `pid ${pid}`).padEnd(13)}${where}`.trimEnd();
    this.#say(`  ${name.padEnd(15)}${this.#paint('dim', about)}`);
  }

  #noteFleet({ redisPid, fleet }: Stage): void {
    this.#note(redisPid, fleet.dashboard()?.pid ?? null, ...fleet.workers().map(({ pid }) => pid));
  }

  #note(...pids: readonly (number | null)[]): void {
    for (const pid of pids) if (pid !== null) this.#pids.add(pid);
  }

  async #farewell(code: number): Promise<number> {
    // One that has ended and was not yet reaped is gone, although a signal could still be sent to it.
    const found = await Promise.all([...this.#pids].map(identifyProcess));
    const left = found.flatMap((one) => (one === null ? [] : [one.pid]));
    if (left.length > 0) this.#say(this.#paint('red', `Not as it should be: still running: ${left.join(', ')}`));
    else this.#say(`All ${this.#pids.size} processes have ended and the temporary folder is gone.`);
    return left.length > 0 ? EXIT.TASK_FAILED : code;
  }

  #say(line: string): void {
    this.#options.out.write(`${line}\n`);
  }
}

/** Resolves when the fleet takes tasks or the signal is aborted. @throws Error after 20 s */
async function untilReady(fleet: Fleet, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const late = delay(READY_MS, 'late', { signal: AbortSignal.any([signal, over.signal]) }).catch(() => 'interrupted');
  const first = await Promise.race([fleet.ready(), late]);
  over.abort();
  if (first === 'late') throw new Error(`the workers took no tasks within ${READY_MS / 1_000} s`);
}

/** What the client cannot see: whether a worker broke, and whether a stopped chat's stream is still open. */
async function problemsOf({ fleet, openAi }: Stage, before: WorkerList): Promise<string[]> {
  const now = fleet.workers();
  const problems = before.filter(({ pid }, at) => now[at]?.pid !== pid).map(({ index, pid }) => `worker ${index}, pid ${pid}, has ended`);
  const open = await openStreams(openAi);
  return open === 0 ? problems : [...problems, `expected no open stream at the OpenAI server, it has ${open}`];
}

async function openStreams(openAi: OpenAiServer): Promise<number> {
  const deadline = performance.now() + STREAMS_WAIT_MS;
  while (openAi.connections() > 0 && performance.now() < deadline) await delay(POLL_MS);
  return openAi.connections();
}
