import { readFileSync } from 'node:fs';
import type { Redis } from 'ioredis';

/** What `recordStop` found: see the script's header. */
export type RecordedStop = [
  what: 'missing' | 'completed' | 'failed' | 'active' | 'taken' | 'fenced' | 'left' | 'ignored',
  stop: string,
  ...more: (string | null)[],
];

type Arguments = (string | number)[];

/** A connection that knows our scripts. Each takes its keys, then its arguments, as the script's header lists them. */
export type ScriptedRedis = Redis & {
  barRetry(...keysAndArguments: Arguments): Promise<number>;
  claimItem(...keysAndArguments: Arguments): Promise<string[]>;
  clearStop(...keysAndArguments: Arguments): Promise<0 | 1>;
  dropEntries(...keysAndArguments: Arguments): Promise<string[]>;
  findItem(...keysAndArguments: Arguments): Promise<[ids: string[], items: (string | null)[], queues: (string | null)[]]>;
  findTasks(...keysAndArguments: Arguments): Promise<[items: (string | null)[], queues: (string | null)[]]>;
  foreignTasks(...keysAndArguments: Arguments): Promise<string[]>;
  keepStop(job: string, lock: string, stop: string, text: string, token: string): Promise<string | null>;
  markParent(key: string): Promise<0 | 1>;
  readPage(key: string, jobs: string, first: number, last: number): Promise<[ids: string[], stopped: string[]]>;
  readTasks(...keysAndArguments: Arguments): Promise<((string | null)[] | null)[]>;
  recordStop(...keysAndArguments: Arguments): Promise<RecordedStop[]>;
};

/** The number in a file's name is how many keys the script takes. */
const SCRIPTS = { barRetry: 1, claimItem: 4, clearStop: 2, dropEntries: 3, keepStop: 2, markParent: 1, findItem: 3, findTasks: 2, foreignTasks: 2, readPage: 1, readTasks: 6, recordStop: 7 } as const;

/** Teaches a connection our scripts; it sends the text of each once and its hash from then on. */
export function defineScripts(redis: Redis): ScriptedRedis {
  for (const [name, numberOfKeys] of Object.entries(SCRIPTS)) {
    const lua = readFileSync(new URL(`./${name}-${numberOfKeys}.lua`, import.meta.url), 'utf8');
    redis.defineCommand(name, { numberOfKeys, lua });
  }
  return redis as ScriptedRedis;
}
