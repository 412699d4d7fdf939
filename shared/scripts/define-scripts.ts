import { useRedisTime } from '../clock/bullmq-time.js';
import type { StoredKey, StoredStanding } from '../limiter/standing.js';
import type { RedisConnection } from '../redis/connection.js';
import { defineAddTasks } from './add-tasks.js';
import { defineFinishes } from './finish-jobs.js';
import { PARTS, SCRIPTS } from './script-files.js';
import { scriptText } from './script-texts.js';

/** A result of `recordStop`: see the script's header. */
export type RecordedStop = [
  what: 'missing' | 'completed' | 'failed' | 'active' | 'taken' | 'ended' | 'fenced' | 'left' | 'ignored' | 'unreadable',
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

/** The result of `describeQueue`: see the script's header. */
type StoredQueue = readonly [
  sizes: readonly number[],
  paused: 0 | 1,
  concurrency: string | null,
  due: readonly [] | readonly [id: string, name: string | null, score: string],
  candidates: readonly (readonly [
    id: string,
    name: string | null,
    timestamp: string | null,
    opts: string | null,
    processedOn: string | null,
  ])[],
  wrong: readonly string[],
];

/** The result of `takeLock`: see the script's header. */
type TakenLock = readonly [what: 'taken' | 'held', holder: string, leftMs: number];

type TouchedUsage = 'added' | 'refreshed' | 'malformed' | 'wrong-type';

/** The tasks that a script of the limiter admitted, each as id, queue and time of its start, and whether it left keys to be tended. */
type LineReply<More extends unknown[] = []> = readonly [admitted: string[], left: 0 | 1, ...More];

/** The answer about one task: see the headers of `admitTasks` and `startTasks`. */
type LineAnswer = readonly [kind: string, timeOrKey: string, ids?: string[]];

/** The result of `walkLive` and `walkEnded`: see the scripts' headers. */
export type WalkedTasks = [examined: number, more: 0 | 1, at: string, id: string, ...found: string[]];

/** The result of `readLiveItems`: see the script's header. */
export type FoundItems = [examined: number, next: string, cursor: string, ...found: string[]];

/** The result of `readLiveTexts` and `readEndedTexts`: see the scripts' headers. */
export type FoundTexts = [examined: number, last: string, ...found: string[]];

type Arguments = (string | number | Buffer)[];

/** A connection with our scripts as commands, which take keys, then arguments, as listed in the script's header. */
export type ScriptedRedis = RedisConnection & {
  addCounts(...keysAndArguments: Arguments): Promise<0 | 1>;
  admitTasks(...keysAndArguments: Arguments): Promise<LineReply<[LineAnswer[]]>>;
  /** See {@link defineAddTasks}. */
  addTasks(
    keysAndArguments: Arguments,
  ): Promise<[pendingStops: number, errors: (number | Error)[], ...replies: (string | number | Error)[]]>;
  appendLog(...keysAndArguments: Arguments): Promise<0 | 1>;
  auditBulk(...keysAndArguments: Arguments): Promise<0 | 1>;
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
  countItems(
    items: string,
    own: string,
    shared: string,
    first: string,
    last: Buffer,
    most: number,
    enough: number,
  ): Promise<[tasks: number, last: string]>;
  countFetchable(...keysAndArguments: Arguments): Promise<number>;
  findLongRuns(active: string, jobs: string, latestStart: number, examined: number, returned: number): Promise<string[]>;
  findStanding(key: string, jobs: string, mode: string): Promise<[id: string, options: string] | []>;
  holdKey(key: string, job: string, id: string): Promise<0 | 1>;
  replaceWaiting(...keysAndArguments: Arguments): Promise<0 | 1>;
  dropLock(lock: string, owner: string): Promise<0 | 1>;
  describeQueue(...keysAndArguments: Arguments): Promise<StoredQueue>;
  describeKeys(...keysAndArguments: Arguments): Promise<StoredKey[]>;
  dropEntries(...keysAndArguments: Arguments): Promise<string[]>;
  dropName(names: string, index: string, member: string): Promise<number>;
  dropStaleTexts(
    index: string,
    completed: string,
    failed: string,
    first: number,
    last: number,
  ): Promise<[examined: number, dropped: number]>;
  dropStale(index: string, ended: string, first: number, last: number): Promise<[examined: number, dropped: number]>;
  /** See {@link defineFinishes}. */
  failJobs(...keysAndArguments: (string | number | boolean | Buffer)[]): Promise<(number | string)[]>;
  expireKept(...keysAndArguments: Arguments): Promise<[dropped: number, attached: string[]]>;
  giveUp(...keysAndArguments: Arguments): Promise<number>;
  findItem(...keysAndArguments: Arguments): Promise<[ids: string[], items: (string | null)[], queues: (string | null)[]] | null>;
  findTasks(...keysAndArguments: Arguments): Promise<[items: (string | null)[], queues: (string | null)[]]>;
  findUnkept(
    ended: string,
    limits: string,
    texts: string,
    jobs: string,
    place: string,
    first: number,
    last: number,
  ): Promise<[examined: number, ...idsNamesAndOptions: string[]]>;
  foreignTasks(...keysAndArguments: Arguments): Promise<[next: string, ...idsAndItems: string[]]>;
  isBusy(...keysAndArguments: Arguments): Promise<0 | 1>;
  keepEnded(...keysAndArguments: Arguments): Promise<[attached: string[], wrong: string[]]>;
  joinLine(line: string, task: string, keptMs: number): Promise<number>;
  leaveItems(...keysAndArguments: Arguments): Promise<1>;
  layMark(mark: string, keptMs: number): Promise<1>;
  markParent(key: string, kept: number, ...children: string[]): Promise<0 | 1>;
  markPassed(scheduler: string, due: number): Promise<0 | 1>;
  noteAttempt(job: string, lock: string, field: string, record: string, run: number, token: string): Promise<0 | 1>;
  nextRuns(
    ...keysAndArguments: Arguments
  ): Promise<[due: string, opts: string, every: string, pattern: string, tz: string, passed: string, place: string][]>;
  readLog(
    job: string,
    log: string,
    after: number,
    limit: number,
  ): Promise<[state: 'missing' | 'live' | 'ended', dropped: number, last: number, before: number, ...lines: string[]]>;
  readPage(
    key: string,
    jobs: string,
    first: number,
    last: number,
  ): Promise<[ids: string[], stopped: string[], unreadable: string[], type?: string]>;
  readEndedTexts(...keysAndArguments: Arguments): Promise<FoundTexts>;
  readLiveItems(...keysAndArguments: Arguments): Promise<FoundItems>;
  readLiveTexts(...keysAndArguments: Arguments): Promise<FoundTexts>;
  readStandings(...keysAndArguments: Arguments): Promise<(StoredStanding | null)[]>;
  readTasks(...keysAndArguments: Arguments): Promise<((string | number | null)[] | null)[]>;
  recordStop(...keysAndArguments: Arguments): Promise<RecordedStop[]>;
  releaseTasks(...keysAndArguments: Arguments): Promise<LineReply>;
  relist(...keysAndArguments: Arguments): Promise<string[]>;
  renewLocks(...keysAndArguments: Arguments): Promise<string[]>;
  restoreJobs(...keysAndArguments: Arguments): Promise<RestoredJob[]>;
  replaceField(hash: string, field: string, read: Buffer | string, written: string): Promise<0 | 1>;
  sampleFailures(
    limits: string,
    jobs: string,
    since: number,
    ofName: number,
    ofAll: number,
    bytes: number,
  ): Promise<[name: string, count: number, idsAndErrors: string[]][]>;
  setLimit(...keysAndArguments: Arguments): Promise<LineReply<[cursor: string]>>;
  settleKey(record: string, owner: string, answer: string): Promise<0 | 1>;
  shortenDelays(...keysAndArguments: Arguments): Promise<string[]>;
  siftJobs(...keysAndArguments: Arguments): Promise<(number | string)[]>;
  spendRate(...keysAndArguments: Arguments): Promise<LineReply>;
  startTasks(...keysAndArguments: Arguments): Promise<LineReply<[LineAnswer[]]>>;
  strayRuns(delayed: string, repeat: string, jobs: string, most: number): Promise<string[]>;
  sweepIndex(index: string, queues: string, cursor: string, count: number): Promise<[next: string, examined: number, ...stale: string[]]>;
  sweepItems(items: string, sets: string, cursor: string, count: number): Promise<[next: string, examined: number, ...stale: string[]]>;
  takeLock(lock: string, owner: string, ttlMs: number, task: string): Promise<TakenLock>;
  tendLines(...keysAndArguments: Arguments): Promise<LineReply>;
  touchUsage(pool: string, model: string, session: string, channel: string): Promise<TouchedUsage>;
  walkEnded(...keysAndArguments: Arguments): Promise<WalkedTasks>;
  walkLive(...keysAndArguments: Arguments): Promise<WalkedTasks>;
  undoAdd(...keysAndArguments: Arguments): Promise<0 | 1>;
  unparkJobs(...keysAndArguments: Arguments): Promise<('moved' | 'elsewhere' | 'missing' | 'active')[]>;
  writeBulk(...keysAndArguments: Arguments): Promise<0 | 1>;
  writeStates(...keysAndArguments: Arguments): Promise<number>;
};

/** Defines our scripts on a connection, and makes BullMQ's scripts use Redis' clock and note lost workers. */
export function defineScripts(redis: RedisConnection): ScriptedRedis {
  for (const [folder, scripts] of Object.entries(SCRIPTS)) {
    for (const [name, numberOfKeys] of Object.entries(scripts)) {
      const lua = [...(PARTS[name] ?? []), `${folder}/${name}-${numberOfKeys}`].map(scriptText).join('');
      redis.defineCommand(name, { numberOfKeys, lua });
    }
  }
  useRedisTime(redis, { moveStalledJobsToWait: scriptText('attempts/note-loss') + scriptText('attempts/note-stalls') });
  defineAddTasks(redis, scriptText('registry/addTasks'));
  defineFinishes(redis, {
    failJobs: scriptText('stop/failJobs'),
    endStopped: scriptText('stop/endStopped'),
    endManyStopped: scriptText('stop/endManyStopped'),
    completeJobs: scriptText('jobs/completeJobs'),
  });
  return redis as ScriptedRedis;
}
