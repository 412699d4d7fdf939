import { FleetError } from './errors.js';
import { MAX_ID_LENGTH, MAX_ITEM_LENGTH, MAX_KNOWN_ID_LENGTH } from './limits.js';
import { RESERVED_IDS, isShared } from './reserved-ids.js';

/**
 * All Redis keys and channels; `p` is REDIS_KEY_PREFIX. open-webui reads, writes and deletes some keys under `p:tasks`, so that
 * each program can list and stop the other's tasks. docs/reference/redis-keys.md describes each key.
 */
export interface Keys {
  readonly prefix: string;
  /** A key that is never written: scripts read it in place of a key of the wrong type. */
  readonly nothing: string;
  /** String: the fleet's id, which its stop commands carry. */
  readonly fleet: string;
  /** String: exists once a task of open-webui was seen. */
  readonly openWebui: string;
  /** Hash: live task id → item, `''` for none. Shared with open-webui. */
  readonly tasks: string;
  /** Hash: live task id → queue. An id in `tasks` that is not here belongs to another program. */
  readonly taskQueues: string;
  /** Sorted set: live task id, scored by enqueue time in ms. */
  readonly live: string;
  /** Set: `<queue>:<name>` of live tasks. */
  readonly findNames: string;
  /** Sorted set, all scores 0: the items of live tasks, whose ids are in {@link ownItem}. */
  readonly findItems: string;
  /** Sorted set, all scores 0: `t<tag>` of live tasks, each followed by NUL and the task id; of tasks of an older version also `i<item>`. */
  readonly findTexts: string;
  /** String: exists once every live task is in the indexes of live tasks. */
  readonly findComplete: string;
  /** String: the same for processes of an older version, which do not know {@link findItems}. */
  readonly findCompleteBefore: string;
  /** Sorted set: ids of the live tasks with this name, scored by enqueue time in ms. */
  findName(name: string): string;
  /** Sorted set: ids of the live tasks with this tag, scored by enqueue time in ms. */
  findTag(tag: string): string;
  /** Hash: task id → stop as JSON; for tasks stopped after their registration and before their job was added. */
  readonly pendingStops: string;
  /** Channel: stop commands. */
  readonly commands: string;
  /** Set: every queue that ever had a task or a worker. */
  readonly queues: string;
  /** Hash: logical queue → who paused it, when and why, as JSON. BullMQ's own flag of each shard says whether it is paused. */
  readonly pausedQueues: string;
  /** Sorted set: worker id, scored by its last heartbeat in ms. */
  readonly workers: string;
  /** Hash: worker id → JSON of a request to stop fetching tasks, or of its end. */
  readonly workerDrains: string;
  /** Channel: id of a worker whose entry in `workerDrains` changed. */
  readonly workerChanges: string;
  /** Channel of one worker: stop commands for it, or its id if it was drained or resumed. */
  workerChannel(id: string): string;
  /** Sorted set: worker id, scored by its last heartbeat in ms; for a week after it. */
  readonly lastWorkers: string;
  /** Sorted set: `<task name>:<digest>` of each definition that producers enqueue with, scored by the last time in ms. */
  readonly definitions: string;
  /** List: the latest losses of workers as JSON, newest first. */
  readonly losses: string;
  /** Hash: the reconciler's last run: its cursor, time and counts. */
  readonly reconcile: string;
  /** Hash: model id → JSON `{ session id: { updated_at: seconds } }`, in open-webui's format. */
  readonly usagePool: string;
  /** Channel: session counts of models in the usage pool, after each change. */
  readonly usageChanges: string;
  /** String with an expiry: the lock of the usage pool's clean-up. */
  readonly usageLock: string;
  /** Hash: session id → JSON with `last_seen_at` in seconds, in open-webui's format. */
  readonly sessionPool: string;
  /** Channel: sessions removed from the session pool. */
  readonly sessionChanges: string;
  /** String with an expiry: the lock of the session pool's clean-up. */
  readonly sessionLock: string;
  /** Hash: model id → JSON, in open-webui's format. */
  readonly models: string;
  /** String: changes with the content of `models`, so that open-webui reloads its models. */
  readonly modelsSignature: string;
  /** Hash: `urlIdx` of our entries in `models` → the base URL it stood for when they were written. */
  readonly modelServers: string;
  /** Hash: model id → JSON of the model as last listed by its server. */
  readonly modelsListed: string;
  /** Hash: plan id → JSON. */
  readonly plans: string;
  /** Hash: schedule id → JSON; the schedules that users added. */
  readonly schedules: string;
  /** String with an expiry: when a worker last checked the schedules for the whole fleet, in ms. */
  readonly scheduleLook: string;
  /** Hash: schedule id → its last started task; `<schedule id>:next` → the task waiting for that one. */
  readonly scheduleRuns: string;
  /** Sorted set with an expiry: tasks that people asked this schedule to run and that wait for their turn, in their order. */
  scheduleLine(schedule: string): string;
  /** With an expiry: the journal of a bulk, a hash; `<id>:receipts`: its receipts as JSON, a list. */
  bulk(id: string): string;
  /** Stream: writes that the dashboard allowed, with their callers. */
  readonly audit: string;
  /** Stream: requests that the dashboard refused. Separate, so that a flood of refusals does not push out the audit log. */
  readonly auditDenied: string;
  /** One of the limiter's keys, by its name after `p:limits:`; see `shared/limiter/`. */
  limiter(name: string): string;
  /** Prefix of the dashboard's rate limit counters. */
  limits(name: string): string;
  /** Hash: the state and response of a request with an idempotency key, by the hash of caller and key. */
  idempotency(hash: string): string;
  /** String: a browser session, by the hash of its id. */
  session(hash: string): string;
  /** String with an expiry: the rights of an item token as JSON, by the start of its hash. */
  itemToken(id: string): string;
  /** Hash: counter → total of the whole fleet; shared/metrics/fields.ts lists the counters. */
  readonly counters: string;
  /** Hash: counters of tasks that ended within one minute, given in whole minutes since the epoch. */
  minute(minute: string): string;
  /** Hash: counters by task name of one slot of a time series; see `shared/metrics/fields.ts`. */
  series(step: string, slot: string): string;
  /** String: number of the last batch of counts that a process added. */
  countSource(id: string): string;
  /** Set: the item's live tasks of this fleet; only the fleet writes it. */
  ownItem(item: string): string;
  /** Set: the item's live task ids. Shared with open-webui. */
  item(item: string): string;
  /** String: open-webui considers a task in `tasks` without a lease dead. Only for ids that {@link isShared} accepts. */
  lease(id: string): string;
  /** Set: live tasks that this task's handler enqueued. */
  children(id: string): string;
  /** Stream: the task's output, progress and state changes. */
  events(id: string): string;
  /** Hash: a worker's last heartbeat. */
  worker(id: string): string;
  /** Hash: what is kept of a worker that died. */
  lastWorker(id: string): string;
  /** String with an expiry: a definition as JSON, by its digest. */
  definition(digest: string): string;
  /** String: written and removed by a wait for replicas, in the slot of a queue or, for null, of the registry. */
  replicaMark(id: string, queue?: string | null): string;
  /** BullMQ's prefix for a queue. Never `p` itself: when BullMQ cleans up a queue, it deletes unknown keys under the prefix. */
  bull(queue: string): string;
  /** Prefix of the keys of a queue's jobs; a job's hash is this plus its id. */
  jobs(queue: string): string;
  /** Sorted set: the ended tasks of one queue, kind and name, scored by their end in ms. */
  kept(queue: string, kind: string, name: string): string;
  /** Sorted set, all scores 0: `i<item>` and `t<tag>` of a queue's ended tasks, each followed by NUL and the task id. */
  keptTexts(queue: string): string;
  /** Hash: `<kind>:<name>` of each index of ended tasks → its last limits. No job can have this key: BullMQ refuses such an id. */
  keptLimits(queue: string): string;
  /** Parses the key of a job's hash; null for any other key, and for another prefix. */
  readonly jobAt: (key: string) => { readonly queue: string; readonly id: string } | null;
}

/**
 * @param given REDIS_KEY_PREFIX
 * @param cluster whether the keys are for a cluster, where the keys of a script must share a slot: each queue then has a slot of
 *   its own, and everything else is in the slot of the prefix in braces. Default false.
 */
export function createKeys(given: string, cluster = false): Keys {
  const bare = given.replaceAll(/[{}]/g, '');
  const prefix = cluster ? `{${bare}}` : given;
  const bull = cluster ? (queue: string) => `{${bare}:bull:${queue}}` : () => `${given}:bull`;
  const jobs = (queue: string): string => `${bull(queue)}:${queue}:`;
  return {
    prefix,
    nothing: `${prefix}:nothing`,
    bull,
    fleet: `${prefix}:fleet`,
    openWebui: `${prefix}:open_webui`,
    tasks: `${prefix}:tasks`,
    taskQueues: `${prefix}:tasks:queues`,
    live: `${prefix}:tasks:live`,
    findNames: `${prefix}:find:names`,
    findItems: `${prefix}:find:items`,
    findTexts: `${prefix}:find:texts`,
    findComplete: `${prefix}:find:indexed`,
    findCompleteBefore: `${prefix}:find:complete`,
    findName: (name) => `${prefix}:find:name:${name}`,
    findTag: (tag) => `${prefix}:find:tag:${tag}`,
    pendingStops: `${prefix}:tasks:stops`,
    commands: `${prefix}:tasks:commands`,
    queues: `${prefix}:queues`,
    pausedQueues: `${prefix}:queues:paused`,
    workers: `${prefix}:workers`,
    workerDrains: `${prefix}:workers:drained`,
    workerChanges: `${prefix}:workers:changes`,
    workerChannel: (id) => `${prefix}:workers:changes:${id}`,
    lastWorkers: `${prefix}:workers:last`,
    definitions: `${prefix}:definitions`,
    losses: `${prefix}:lost_workers`,
    reconcile: `${prefix}:reconcile`,
    usagePool: `${prefix}:usage_pool`,
    usageChanges: `${prefix}:usage_pool:changes`,
    usageLock: `${prefix}:usage_cleanup_lock`,
    sessionPool: `${prefix}:session_pool`,
    sessionChanges: `${prefix}:session_pool:changes`,
    sessionLock: `${prefix}:session_cleanup_lock`,
    models: `${prefix}:models`,
    modelsSignature: `${prefix}:models:signature`,
    modelServers: `${prefix}:models:servers`,
    modelsListed: `${prefix}:models:listed`,
    plans: `${prefix}:billing:plans`,
    schedules: `${prefix}:schedules`,
    scheduleLook: `${prefix}:schedules:look`,
    scheduleRuns: `${prefix}:schedules:runs`,
    scheduleLine: (schedule) => `${prefix}:schedules:line:${schedule}`,
    bulk: (id) => `${prefix}:bulk:${id}`,
    audit: `${prefix}:dashboard:audit`,
    auditDenied: `${prefix}:dashboard:audit:denied`,
    limiter: (name) => `${prefix}:limits:${name}`,
    limits: (name) => `${prefix}:dashboard:limits:${name}`,
    idempotency: (hash) => `${prefix}:dashboard:idempotency:${hash}`,
    session: (hash) => `${prefix}:dashboard:sessions:${hash}`,
    itemToken: (id) => `${prefix}:dashboard:item-tokens:${id}`,
    counters: `${prefix}:metrics:counters`,
    minute: (minute) => `${prefix}:metrics:minutes:${minute}`,
    series: (step, slot) => `${prefix}:metrics:names:${step}:${slot}`,
    countSource: (id) => `${prefix}:metrics:sources:${id}`,
    children: (id) => `${prefix}:tasks:children:${id}`,
    ownItem: (item) => `${prefix}:items:${item}`,
    item: (item) => `${prefix}:tasks:item:${item}`,
    lease: (id) => `${prefix}:tasks:${id}`,
    events: (id) => `${prefix}:tasks:events:${id}`,
    worker: (id) => `${prefix}:workers:${id}`,
    lastWorker: (id) => `${prefix}:workers:last:${id}`,
    definition: (digest) => `${prefix}:definitions:${digest}`,
    replicaMark: (id, queue = null) => `${cluster && queue !== null ? bull(queue) : prefix}:replicas:${id}`,
    jobs,
    kept: (queue, kind, name) => `${jobs(queue)}kept:${kind}:${name}`,
    keptTexts: (queue) => `${jobs(queue)}kept:texts`,
    keptLimits: (queue) => `${jobs(queue)}kept:limits`,
    jobAt: (key) => {
      const start = cluster ? `{${bare}:bull:` : `${given}:bull:`;
      // A queue name contains neither a colon nor a brace.
      const queue = key.startsWith(start) ? (/^[^:}]+/.exec(key.slice(start.length))?.[0] ?? '') : '';
      const id = queue !== '' && key.startsWith(jobs(queue)) ? key.slice(jobs(queue).length) : '';
      return id === '' ? null : { queue, id };
    },
  };
}

const ID = /^[A-Za-z0-9][A-Za-z0-9._~@=+-]*$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** Returns what is wrong with a task id, or null. */
export function problemOfId(id: unknown): string | null {
  if (typeof id !== 'string') return `expected a string, got ${id === null ? 'null' : typeof id}`;
  if (id.length === 0 || id.length > MAX_ID_LENGTH) return `expected 1 to ${MAX_ID_LENGTH} characters, got ${id.length}`;
  if (!ID.test(id)) return `expected letters, digits and . _ ~ @ = + - only, beginning with a letter or digit, got ${quote(id)}`;
  if (/^\d+$/.test(id)) return `expected something that is not a whole number, got ${quote(id)}`;
  if (RESERVED_IDS.has(id)) return `${quote(id)} is the name of one of a queue's own keys`;
  if (!isShared(id)) return `${quote(id)} is the name of one of the registry's own keys`;
  return null;
}

/** Returns what is wrong with an item, or null. */
export function problemOfItem(item: unknown): string | null {
  if (typeof item !== 'string') return `expected a string, got ${item === null ? 'null' : typeof item}`;
  if (item.length === 0 || item.length > MAX_ITEM_LENGTH) return `expected 1 to ${MAX_ITEM_LENGTH} characters, got ${item.length}`;
  if (CONTROL.test(item)) return `expected no control characters, got ${quote(item)}`;
  if (!item.isWellFormed()) return `expected well-formed Unicode, got ${quote(item)}`;
  return null;
}

/** @throws FleetError `INVALID_ID` */
export function checkId(id: unknown): string {
  const problem = problemOfId(id);
  if (problem !== null) throw new FleetError('INVALID_ID', `Bad task id: ${problem}.`, { details: { field: 'id' } });
  return id as string;
}

/** Returns what is wrong with the id of an existing task, or null. Plain BullMQ clients may use ids that new tasks may not. */
export function problemOfKnownId(id: unknown): string | null {
  if (typeof id !== 'string') return `expected a string, got ${id === null ? 'null' : typeof id}`;
  if (id.length === 0 || id.length > MAX_KNOWN_ID_LENGTH) return `expected 1 to ${MAX_KNOWN_ID_LENGTH} characters, got ${id.length}`;
  if (id.includes('\0')) return `expected no NUL, got ${quote(id)}`;
  if (!id.isWellFormed()) return `expected well-formed Unicode, got ${quote(id)}`;
  return null;
}

/** Checks the id of an existing task, which a plain BullMQ client may have chosen. @throws FleetError `INVALID_ID` */
export function checkKnownId(id: unknown): string {
  const problem = problemOfKnownId(id);
  if (problem !== null) throw new FleetError('INVALID_ID', `Bad task id: ${problem}.`, { details: { field: 'id' } });
  return id as string;
}

/** @throws FleetError `INVALID_ITEM` */
export function checkItem(item: unknown): string {
  const problem = problemOfItem(item);
  if (problem !== null) throw new FleetError('INVALID_ITEM', `Bad item: ${problem}.`, { details: { field: 'item' } });
  return item as string;
}

/** True for a valid name of a task or queue. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name);
}

/** Quotes and escapes foreign text for a message, cut to 60 characters. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
