import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { TaskView } from '../../../../../producer/index.js';
import { defineTask } from '../../../../../shared/task/definition.js';
import type { TestFleet } from '../../../../support/fleet/test-fleet.js';
import { built } from '../../../../support/process/built.js';
import { startCommand } from '../../../../support/process/command.js';
import { type NodeProcess, spawnNode } from '../../../../support/process/processes.js';

const FOLDER = 'test/slow/scenario/worker/killers';
const INNOCENTS = 10;
const WORKERS = 2;
const LIMIT_MS = 300_000;

/** The ways to kill a worker: `process.exit`, out of memory, an endless loop of microtasks. */
export const KINDS = ['exits', 'grows', 'spins'] as const;

interface OutbreakOptions {
  readonly kind: (typeof KINDS)[number];
  /** `onWorkerLost.retries` of the killer. */
  readonly retries: 0 | 1 | 3;
  /** `up`: handlers in a module, under `taskfleet up`. `inline`: handlers of programs that a supervisor restarts. */
  readonly place: 'up' | 'inline';
  readonly innocentMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

export interface OutbreakFigures {
  /** Calls of the killer's handler, and where: `main` or `thread`. */
  readonly killerRuns: readonly string[];
  readonly killer: TaskView;
  /** Calls of the innocent handlers, each at least once. */
  readonly innocentRuns: readonly number[];
  readonly innocents: readonly TaskView[];
  /** Worker processes that ended before all tasks had. */
  readonly deaths: number;
  /** From the enqueue until all tasks had ended, in ms. */
  readonly clearMs: number;
}

export const taskNamed = (name: string) => defineTask({ name, input: z.any() });

/** Runs one killer beside ten innocent tasks on two workers, until all have ended. */
export async function runOutbreak(
  fleet: TestFleet,
  { kind, retries, place, innocentMs, env = {} }: OutbreakOptions,
): Promise<OutbreakFigures> {
  const keyPrefix = fleet.newPrefix();
  const runs = join(fleet.redis.dir, `runs-${keyPrefix}`);
  const producer = fleet.producer({ keyPrefix });
  const settings = {
    ...{ REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: keyPrefix, RUNS: runs, SHUTDOWN_TIMEOUT_MS: '0' },
    ...{ TASK_MODULES: built(`${FOLDER}/killer-tasks.mjs`), NODE_OPTIONS: '--max-old-space-size=256', ...env },
  };
  const workers = place === 'up' ? await startUp(settings) : await startSupervised(settings);
  try {
    const startedAt = performance.now();
    const innocents = await producer.enqueueMany(
      taskNamed('kill.innocent'),
      Array.from({ length: INNOCENTS }, () => ({ input: { ms: innocentMs } })),
    );
    const killer = await producer.enqueue(taskNamed(`kill.${kind}-${retries}`), {});
    const ended = await Promise.all(
      [killer, ...innocents].map(async ({ id }) => {
        await producer.waitUntilFinished(id, { timeoutMs: LIMIT_MS }).catch(() => undefined);
        return (await producer.get(id)) as TaskView;
      }),
    );
    const clearMs = Math.round(performance.now() - startedAt);
    const lines = (await readFile(runs, 'utf8')).trimEnd().split('\n');
    const of = (id: string): string[] => lines.filter((line) => line.split(' ')[1] === id).map((line) => line.split(' ')[3] ?? '');
    return {
      killerRuns: of(killer.id),
      killer: ended[0] as TaskView,
      innocentRuns: innocents.map(({ id }) => of(id).length),
      innocents: ended.slice(1),
      deaths: workers.deaths,
      clearMs,
    };
  } finally {
    await workers.stop();
    await rm(runs, { force: true });
  }
}

interface Workers {
  readonly deaths: number;
  stop(): Promise<unknown>;
}

async function startUp(env: Readonly<Record<string, string>>): Promise<Workers> {
  const up = startCommand(['up', '--workers', String(WORKERS), '--no-dashboard'], { env });
  await up.waitForLine(/^Ready after /);
  return {
    get deaths() {
      return [...up.stdout.lines, ...up.stderr.lines].filter((line) => /^Worker .* ended unexpectedly/.test(line)).length;
    },
    stop: () => up.stop(),
  };
}

/** Starts programs and restarts each that ends, as a supervisor does. */
async function startSupervised(env: Readonly<Record<string, string>>): Promise<Workers> {
  const running = new Set<NodeProcess>();
  let stopping = false;
  let deaths = 0;
  const launch = (): NodeProcess => {
    const worker = spawnNode([built(`${FOLDER}/inline-worker.mjs`)], { env });
    running.add(worker);
    void worker.exit.then(() => {
      running.delete(worker);
      if (stopping) return;
      deaths += 1;
      launch();
    });
    return worker;
  };
  await Promise.all(Array.from({ length: WORKERS }, () => launch().waitForLine(/Worker is ready/)));
  return {
    get deaths() {
      return deaths;
    },
    stop: () => {
      stopping = true;
      return Promise.all([...running].map((worker) => worker.stop()));
    },
  };
}
