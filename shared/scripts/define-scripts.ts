import { readFileSync } from 'node:fs';
import { useRedisTime } from '../clock/bullmq-time.js';
import type { RedisConnection } from '../redis/connection.js';

/** A result of `recordStop`: see the script's header. */
export type RecordedStop = [
  what: 'missing' | 'completed' | 'failed' | 'active' | 'taken' | 'fenced' | 'left' | 'ignored' | 'unreadable',
  stop: string,
  ...more: (string | null)[],
];

/** A result of `restoreJobs`: see the script's header. */
type RestoredJob =
  | 'missing'
  | 'unreadable'
  | 'placed'
  | 'stopped'
  | 'completed'
  | 'failed'
  | 'active'
  | 'waiting-children'
  | 'delayed'
  | 'waiting';

/** The result of `cleanPool`: see the script's header. */
export type CleanedBatch =
  | readonly [what: 'lost']
  | readonly [what: 'wrong-type', type: string]
  | readonly [what: 'done', cursor: string, entries: number, removed: number, sessions: number, invalid: number, ...names: string[]];

/** The result of `takeLock`: see the script's header. */
type TakenLock = readonly [what: 'taken' | 'held', holder: string, leftMs: number];

type TouchedUsage = 'added' | 'refreshed' | 'malformed' | 'wrong-type';

type Arguments = (string | number)[];

/** A connection with our scripts as commands, which take keys, then arguments, as listed in the script's header. */
export type ScriptedRedis = RedisConnection & {
  addCounts(...keysAndArguments: Arguments): Promise<0 | 1>;
  blockRetry(...keysAndArguments: Arguments): Promise<number>;
  claimItem(...keysAndArguments: Arguments): Promise<string[]>;
  claimKey(
    record: string,
    body: string,
    owner: string,
    busyMs: number,
    keptMs: number,
  ): Promise<[what: 'claimed' | 'answered' | 'conflict' | 'busy', answer?: string]>;
  claimLook(look: string, enoughMs: number): Promise<0 | 1>;
  cleanPool(...keysAndArguments: Arguments): Promise<CleanedBatch>;
  clearStop(...keysAndArguments: Arguments): Promise<0 | 1>;
  countFetchable(...keysAndArguments: Arguments): Promise<number>;
  dropLock(lock: string, owner: string): Promise<0 | 1>;
  dropEntries(...keysAndArguments: Arguments): Promise<string[]>;
  findItem(...keysAndArguments: Arguments): Promise<[ids: string[], items: (string | null)[], queues: (string | null)[]]>;
  findTasks(...keysAndArguments: Arguments): Promise<[items: (string | null)[], queues: (string | null)[]]>;
  foreignTasks(...keysAndArguments: Arguments): Promise<[next: string, ...idsAndItems: string[]]>;
  isBusy(...keysAndArguments: Arguments): Promise<0 | 1>;
  keepStop(job: string, lock: string, stop: string, text: string, token: string): Promise<string | null>;
  layMark(mark: string, keptMs: number): Promise<1>;
  markParent(key: string): Promise<0 | 1>;
  markPassed(scheduler: string, due: number): Promise<0 | 1>;
  nextRuns(
    ...keysAndArguments: Arguments
  ): Promise<[due: string, opts: string, every: string, pattern: string, tz: string, passed: string, place: string][]>;
  readPage(
    key: string,
    jobs: string,
    first: number,
    last: number,
  ): Promise<[ids: string[], stopped: string[], unreadable: string[], type?: string]>;
  readTasks(...keysAndArguments: Arguments): Promise<((string | number | null)[] | null)[]>;
  recordStop(...keysAndArguments: Arguments): Promise<RecordedStop[]>;
  relist(...keysAndArguments: Arguments): Promise<string[]>;
  renewLocks(...keysAndArguments: Arguments): Promise<string[]>;
  restoreJobs(...keysAndArguments: Arguments): Promise<RestoredJob[]>;
  replaceField(hash: string, field: string, read: Buffer | string, written: string): Promise<0 | 1>;
  settleKey(record: string, owner: string, answer: string): Promise<0 | 1>;
  shortenDelays(...keysAndArguments: Arguments): Promise<string[]>;
  strayRuns(delayed: string, repeat: string, jobs: string, most: number): Promise<string[]>;
  takeLock(lock: string, owner: string, ttlMs: number, task: string): Promise<TakenLock>;
  touchUsage(pool: string, model: string, session: string, channel: string): Promise<TouchedUsage>;
  undoAdd(...keysAndArguments: Arguments): Promise<0 | 1>;
};

/** The scripts of each folder, each with its number of keys, as in its file name. */
const SCRIPTS = {
  jobs: {
    countFetchable: 6,
    readPage: 1,
    readTasks: 7,
    renewLocks: 1,
    restoreJobs: 11,
    shortenDelays: 2,
    undoAdd: 4,
  },
  pools: {
    cleanPool: 2,
    dropLock: 1,
    takeLock: 1,
    touchUsage: 1,
  },
  records: {
    addCounts: 3,
    claimKey: 1,
    settleKey: 1,
  },
  registry: {
    claimItem: 6,
    dropEntries: 3,
    findItem: 4,
    findTasks: 2,
    foreignTasks: 2,
    isBusy: 4,
    markParent: 1,
    relist: 3,
    replaceField: 1,
  },
  schedule: {
    claimLook: 1,
    layMark: 1,
    markPassed: 1,
    nextRuns: 8,
    strayRuns: 2,
  },
  stop: {
    blockRetry: 1,
    clearStop: 2,
    keepStop: 2,
    recordStop: 8,
  },
} as const;

/** Scripts that begin with a shared part of their folder. */
const PARTS: Readonly<Record<string, string>> = { cleanPool: 'usage-entry', touchUsage: 'usage-entry' };

/** Defines our scripts on a connection, and makes BullMQ's scripts use Redis' clock. */
export function defineScripts(redis: RedisConnection): ScriptedRedis {
  for (const [folder, scripts] of Object.entries(SCRIPTS)) {
    for (const [name, numberOfKeys] of Object.entries(scripts)) {
      const part = PARTS[name];
      const lua = (part ? read(`${folder}/${part}`) : '') + read(`${folder}/${name}-${numberOfKeys}`);
      redis.defineCommand(name, { numberOfKeys, lua });
    }
  }
  useRedisTime(redis);
  return redis as ScriptedRedis;
}

function read(file: string): string {
  return readFileSync(new URL(`./${file}.lua`, import.meta.url), 'utf8');
}
