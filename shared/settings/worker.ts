import { availableParallelism } from 'node:os';
import { z } from 'zod';
import { type Setting, cappedInteger, integer, list, orZero } from './kinds.js';
import { EXPECTED_LEVEL, type LogLevel, levelSchema } from './log-levels.js';
import { SWITCH_WORDS, namePatterns } from './name-patterns.js';

const taskLogLevelKept: Setting<LogLevel> = {
  env: 'TASK_LOG_LEVEL_KEPT',
  fallback: 'info',
  about: "Lowest level of the handlers' log lines that are kept with their task; `silent` keeps none. Independent of `TASK_LOG_LEVEL`.",
  expected: EXPECTED_LEVEL,
  schema: levelSchema,
};

/** The settings of a worker process: what it runs at once, its stops, its locks. */
export const WORKER_SETTINGS = {
  concurrency: integer('WORKER_CONCURRENCY', 10, 1, 1_000, 'Tasks that a worker process runs concurrently, per queue.'),
  threads: cappedInteger(
    'THREAD_POOL_SIZE',
    availableParallelism(),
    256,
    'threads',
    'Threads per worker process for isolated handlers; 0 for the default.',
  ),
  threadMemoryMb: orZero(
    integer(
      'THREAD_MEMORY_MB',
      512,
      32,
      65_536,
      "Heap of a thread in MB; a handler that needs more fails with OUT_OF_MEMORY. Buffers are not part of the heap. 0 for Node's own limit.",
    ),
  ),
  taskModules: list(
    'TASK_MODULES',
    /[,;]/,
    'module paths separated by commas',
    "Modules that export a service's own task handlers.",
    z.string(),
  ),
  workerQueues: namePatterns(
    'WORKER_QUEUES',
    'queue names',
    'chat,report-*,!maintenance',
    "Queues that a worker fetches from, `maintenance` with the fleet's own tasks among them. Without it, or with exclusions only: all others.",
  ),
  builtinTasks: namePatterns(
    'BUILTIN_TASKS',
    'task names',
    'chat.*,fleet.canary',
    'Built-in tasks that a worker has, and schedules. Give all workers of a fleet the same. `registry.reconcile` and the tasks of bulk acts stay.',
    SWITCH_WORDS,
  ),
  taskLogLevelKept,
  stopGraceMs: integer('STOP_GRACE_MS', 5_000, 0, 3_600_000, 'Time between the abort of a handler and the next step of the escalation.'),
  stopPollMs: integer('STOP_POLL_INTERVAL_MS', 2_000, 50, 3_600_000, 'How often a worker polls for stops of its running tasks.'),
  shutdownTimeoutMs: integer('SHUTDOWN_TIMEOUT_MS', 30_000, 0, 3_600_000, 'How long a worker waits for running tasks after SIGTERM.'),
  lockMs: integer('LOCK_DURATION_MS', 15_000, 1_000, 3_600_000, "How long a task's lock lasts without renewal."),
  stalledCheckMs: integer(
    'STALLED_CHECK_INTERVAL_MS',
    5_000,
    500,
    3_600_000,
    'How often workers look for stalled tasks, whose lock has expired.',
  ),
  eventLoopTimeoutMs: orZero(
    integer(
      'EVENT_LOOP_TIMEOUT_MS',
      30_000,
      500,
      3_600_000,
      'How long the event loop of a worker process may hang before the process is killed; at least LOCK_DURATION_MS. 0 for never, for example while debugging.',
    ),
  ),
  fetchStallMs: integer(
    'FETCH_STALL_MS',
    15_000,
    500,
    3_600_000,
    'How long a worker with free slots may fetch nothing while tasks are queued before its connection is replaced.',
  ),
  heartbeatMs: integer('HEARTBEAT_INTERVAL_MS', 5_000, 100, 600_000, 'How often a worker writes its heartbeat.'),
} as const;

type Table = typeof WORKER_SETTINGS;
type WorkerSettings = { readonly [Name in keyof Table]: Table[Name] extends Setting<infer Value> ? Value : never };

/** Returns the conflicts between settings of a worker. */
export function problemsOfWorker({ stalledCheckMs, lockMs }: WorkerSettings): string[] {
  return stalledCheckMs > lockMs ? [`STALLED_CHECK_INTERVAL_MS: expected at most LOCK_DURATION_MS (${lockMs}), got ${stalledCheckMs}`] : [];
}
