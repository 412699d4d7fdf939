import { z } from 'zod';
import type { TaskView } from '../../../producer/index.js';
import { defineTask } from '../../../shared/task/definition.js';
import { built } from '../process/built.js';
import { startCommand } from '../process/command.js';
import type { NodeProcess } from '../process/processes.js';
import type { TestRedis } from '../redis/test-redis.js';
import { KEEP } from '../task/keep.js';

/** The scenarios' own tasks; the handlers are in scenario-tasks.mjs. */
export const scenarioTask = defineTask({
  name: 'scenario.task',
  input: z.object({ ms: z.number().default(0), deaf: z.boolean().default(false), fails: z.boolean().default(false) }),
  retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 20, jitter: 0 } },
  retention: KEEP,
});

/** Tasks whose result is the pid of their worker. */
export const scenarioHold = defineTask({ name: 'scenario.hold', input: z.object({}), output: z.number(), retention: KEEP });
export const scenarioTicker = defineTask({
  name: 'scenario.ticker',
  input: z.object({ file: z.string() }),
  output: z.number(),
  retention: KEEP,
});

export const scenarioSpin = defineTask({ name: 'scenario.spin', input: z.object({}), retention: KEEP });

export const SCENARIO_MODULE = built('test/support/task/scenario-tasks.mjs');

/** Resolves when the handler of this task has begun in one of these processes. */
export async function handlerBegins(workers: readonly NodeProcess[], id: string): Promise<void> {
  await Promise.any(workers.map((worker) => worker.waitForLine(new RegExp(`"${id}".*begins, attempt`))));
}

/** Returns the number of handler calls of this task in these processes. */
export function runsOf(workers: readonly NodeProcess[], id: string): number {
  const begins = new RegExp(`"${id}".*begins, attempt`);
  return workers.flatMap(({ stdout, stderr }) => [...stdout.lines, ...stderr.lines]).filter((line) => begins.test(line)).length;
}

/**
 * Returns the outcomes of a task's attempts, without those of live workers that lost the lock: on a busy machine a worker may renew a
 * short lock too late, and the task then runs once more.
 */
export function outcomesOf({ attempts }: Pick<TaskView, 'attempts'>): (string | null)[] {
  return (attempts ?? []).map(({ outcome }) => outcome).filter((outcome) => outcome !== 'lock_lost');
}

/** Starts a worker process. Resolves when it takes tasks. */
export async function startWorker(redis: TestRedis, keyPrefix: string, env: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
  const settings = {
    REDIS_URL: redis.url,
    REDIS_CLUSTER: String(redis.topology === 'cluster'),
    REDIS_KEY_PREFIX: keyPrefix,
    TASK_MODULES: SCENARIO_MODULE,
    STOP_GRACE_MS: '200',
    SHUTDOWN_TIMEOUT_MS: '0',
    WORKER_LOG_LEVEL: 'debug',
  };
  const worker = startCommand(['worker'], { env: { ...settings, ...env } });
  await worker.waitForLine(/Worker is ready/);
  return worker;
}

/** The worker processes of one test, with a common prefix. */
export class ScenarioWorkers {
  readonly all: NodeProcess[] = [];

  /** @param env for each worker, beside the environment given to `start` */
  constructor(
    private readonly redis: TestRedis,
    private readonly keyPrefix: string,
    private readonly env: Readonly<Record<string, string>> = {},
  ) {}

  /** Starts a worker. Resolves when it takes tasks. */
  async start(env: Readonly<Record<string, string>> = {}): Promise<NodeProcess> {
    const worker = await startWorker(this.redis, this.keyPrefix, { ...this.env, ...env });
    this.all.push(worker);
    return worker;
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((worker) => worker.stop()));
  }
}

/** The tasks of a dead worker go on within seconds. A busy machine still renews these locks in time, as a rule: see `outcomesOf`. */
export const QUICK = { LOCK_DURATION_MS: '4000', STALLED_CHECK_INTERVAL_MS: '500' } as const;
