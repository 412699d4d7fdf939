import { FleetError } from './errors.js';
import { MAX_ID_LENGTH, MAX_ITEM_LENGTH, MAX_KNOWN_ID_LENGTH } from './limits.js';

/**
 * All Redis keys and channels; `p` is REDIS_KEY_PREFIX. open-webui reads, writes and deletes some keys under `p:tasks`, so that
 * each program can list and stop the other's tasks. docs/redis-keys.md describes each key.
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
  /** Hash: task id → stop as JSON; for tasks stopped after their registration and before their job was added. */
  readonly pendingStops: string;
  /** Channel: stop commands. */
  readonly commands: string;
  /** Set: every queue that ever had a task or a worker. */
  readonly queues: string;
  /** Sorted set: worker id, scored by its last heartbeat in ms. */
  readonly workers: string;
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
  /** Stream: writes that the dashboard allowed, with their callers. */
  readonly audit: string;
  /** Stream: requests that the dashboard refused. Separate, so that a flood of refusals does not push out the audit log. */
  readonly auditDenied: string;
  /** Prefix of the dashboard's rate limit counters. */
  limits(name: string): string;
  /** Hash: the state and response of a request with an idempotency key, by the hash of caller and key. */
  idempotency(hash: string): string;
  /** String: a browser session, by the hash of its id. */
  session(hash: string): string;
  /** Hash: counter → total of the whole fleet; shared/metrics/counters.ts lists the counters. */
  readonly counters: string;
  /** Hash: counters of tasks that ended within one minute, given in whole minutes since the epoch. */
  minute(minute: string): string;
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
  /** String: written and removed by a wait for replicas, in the slot of a queue or, for null, of the registry. */
  replicaMark(id: string, queue?: string | null): string;
  /** BullMQ's prefix for a queue. Never `p` itself: when BullMQ cleans up a queue, it deletes unknown keys under the prefix. */
  bull(queue: string): string;
  /** Prefix of the keys of a queue's jobs; a job's hash is this plus its id. */
  jobs(queue: string): string;
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
    pendingStops: `${prefix}:tasks:stops`,
    commands: `${prefix}:tasks:commands`,
    queues: `${prefix}:queues`,
    workers: `${prefix}:workers`,
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
    audit: `${prefix}:dashboard:audit`,
    auditDenied: `${prefix}:dashboard:audit:denied`,
    limits: (name) => `${prefix}:dashboard:limits:${name}`,
    idempotency: (hash) => `${prefix}:dashboard:idempotency:${hash}`,
    session: (hash) => `${prefix}:dashboard:sessions:${hash}`,
    counters: `${prefix}:metrics:counters`,
    minute: (minute) => `${prefix}:metrics:minutes:${minute}`,
    countSource: (id) => `${prefix}:metrics:sources:${id}`,
    children: (id) => `${prefix}:tasks:children:${id}`,
    ownItem: (item) => `${prefix}:items:${item}`,
    item: (item) => `${prefix}:tasks:item:${item}`,
    lease: (id) => `${prefix}:tasks:${id}`,
    events: (id) => `${prefix}:tasks:events:${id}`,
    worker: (id) => `${prefix}:workers:${id}`,
    replicaMark: (id, queue = null) => `${cluster && queue !== null ? bull(queue) : prefix}:replicas:${id}`,
    jobs,
    jobAt: (key) => {
      const start = cluster ? `{${bare}:bull:` : `${given}:bull:`;
      // A queue name contains neither a colon nor a brace.
      const queue = key.startsWith(start) ? (/^[^:}]+/.exec(key.slice(start.length))?.[0] ?? '') : '';
      const id = queue !== '' && key.startsWith(jobs(queue)) ? key.slice(jobs(queue).length) : '';
      return id === '' ? null : { queue, id };
    },
  };
}

/** Names of a BullMQ queue's own keys: a job with such an id would overwrite one and break the queue. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  ...['active', 'wait', 'waiting', 'waiting-children', 'paused', 'id', 'delayed', 'prioritized', 'priority'],
  ...['stalled-check', 'completed', 'failed', 'stalled', 'repeat', 'limiter', 'meta', 'events', 'pc', 'marker', 'de', 'metrics'],
]);

/** Suffixes of the keys that BullMQ keeps for a job beside its hash. */
const JOB_KEY_SUFFIX = /:(lock|logs|dependencies|processed|failed|unsuccessful|data)$/;

/** True if the part of a key after the queue's name is not a job's id: `wait`, `meta`, `metrics:completed`, `<job id>:lock`. */
export function isQueueKey(id: string): boolean {
  return RESERVED_IDS.has(id) || JOB_KEY_SUFFIX.test(id) || id.startsWith('de:') || id.startsWith('metrics:');
}

/**
 * Names of keys under `p:tasks:`, ours and open-webui's, alone or followed by a colon. The lease of a task with such an id would
 * be that key, and open-webui deletes the lease of a task that it stops.
 */
export const TASK_KEY_NAMES: ReadonlySet<string> = new Set([
  'children',
  'commands',
  'events',
  'item',
  'live',
  'queues',
  'response_streams',
  'stops',
]);

/**
 * True if a task can be shared with open-webui: its lease must not collide with another key. Plain BullMQ clients may add a job
 * with any id; a job that cannot be shared is only in the fleet's own part of the registry.
 */
export function isShared(id: string): boolean {
  const colon = id.indexOf(':');
  return !TASK_KEY_NAMES.has(colon === -1 ? id : id.slice(0, colon));
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
