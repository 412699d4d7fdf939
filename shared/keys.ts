import { FleetError } from './errors.js';

/**
 * All names in Redis, built in this one place. `p` is REDIS_KEY_PREFIX. open-webui shares some of those under `p:tasks`, so that
 * both can read and stop each other's tasks: it writes and deletes them too. docs/redis-keys.md describes each.
 */
export interface Keys {
  readonly prefix: string;
  /** Never written: read in the place of a key that is not of its type. */
  readonly nothing: string;
  /** String: the id of the fleet in this database, carried by its stop commands. */
  readonly fleet: string;
  /** String: there from the moment when open-webui was seen beside the fleet. */
  readonly openWebui: string;
  /** Hash: live task id → item, `''` for none. Shared with open-webui. */
  readonly tasks: string;
  /** Hash: live task id → queue. An id in `tasks` that is not here belongs to another program. */
  readonly taskQueues: string;
  /** Sorted set: live task id, scored by enqueue time in ms. */
  readonly live: string;
  /** Hash: task id → stop as JSON; for tasks that were stopped between their registration and their job's arrival. */
  readonly pendingStops: string;
  /** Channel: stop commands. */
  readonly commands: string;
  /** Set: every queue that ever had a task or a worker. */
  readonly queues: string;
  /** Sorted set: worker id, scored by its last heartbeat in ms. */
  readonly workers: string;
  /** Hash: how far the last run of the reconciler came, when, and what it did. */
  readonly reconcile: string;
  /** Hash: model id → JSON `{ session id: { updated_at: seconds } }`, as open-webui has it. */
  readonly usagePool: string;
  /** Channel: which models of the usage pool have how many sessions now. */
  readonly usageChanges: string;
  /** String: who cleans the usage pool, with an expiry. */
  readonly usageLock: string;
  /** Hash: session id → JSON with `last_seen_at` in seconds, as open-webui has it. */
  readonly sessionPool: string;
  /** Channel: which sessions have left the session pool. */
  readonly sessionChanges: string;
  /** String: who cleans the session pool, with an expiry. */
  readonly sessionLock: string;
  /** Hash: model id → JSON, as open-webui has it. */
  readonly models: string;
  /** String: changes with the content of `models`; open-webui reads its models anew when it does. */
  readonly modelsSignature: string;
  /** Hash: `urlIdx` of our entries of `models` → the base URL that it meant when they were written. */
  readonly modelServers: string;
  /** Hash: model id → JSON of the model as its server listed it last. */
  readonly modelsListed: string;
  /** Hash: plan id → JSON. */
  readonly plans: string;
  /** Hash: schedule id → JSON; those that users made. */
  readonly schedules: string;
  /** String: when a worker looked at the schedules last, in ms; it looks for the whole fleet. Expires with the interval. */
  readonly scheduleLook: string;
  /** Hash: schedule id → its task that started last; `<schedule id>:next` → the one that waits for it. */
  readonly scheduleRuns: string;
  /** Stream: the writes that the dashboard allowed, and who made them. */
  readonly audit: string;
  /** Stream: what the dashboard refused. One of its own, so that a flood of refusals pushes nothing else out. */
  readonly auditDenied: string;
  /** Start of the counters of the dashboard's rate limits. */
  limits(name: string): string;
  /** Hash: what became of a request with an idempotency key, by the hash of caller and key. */
  idempotency(hash: string): string;
  /** String: the session of a browser, by the hash of its id. */
  session(hash: string): string;
  /** Hash: what was counted → how often, in the whole fleet: see shared/metrics/fields.ts. */
  readonly counters: string;
  /** Hash: the same of what ended within one minute, in whole minutes since the epoch. */
  minute(minute: string): string;
  /** String: number of the last batch of counts that a process has added. */
  countSource(id: string): string;
  /** Set: the item's live tasks of this fleet; nobody else writes it. */
  ownItem(item: string): string;
  /** Set: the item's live task ids. Shared with open-webui. */
  item(item: string): string;
  /** String: open-webui takes a task of `tasks` without it for dead. Only for ids that {@link isShared}. */
  lease(id: string): string;
  /** Set: live tasks that the handler of this one enqueued. */
  children(id: string): string;
  /** Stream: what the task emitted, its progress and its changes of state. */
  events(id: string): string;
  /** Hash: one worker's last heartbeat. */
  worker(id: string): string;
  /** String: what a wait for replicas lays and removes, in the slot of a queue; of the registry, for null. */
  replicaMark(id: string, queue?: string | null): string;
  /** BullMQ's own prefix for a queue. Never `p` itself: BullMQ's clean-up of a queue deletes what it does not know below it. */
  bull(queue: string): string;
  /** Start of the keys of a queue's jobs; a job's hash is this plus its id. */
  jobs(queue: string): string;
  /** The job whose hash has this key; null for a key that is no job's, or below another prefix. */
  readonly jobAt: (key: string) => { readonly queue: string; readonly id: string } | null;
}

/**
 * @param given REDIS_KEY_PREFIX
 * @param cluster whether the keys are for a cluster, where a script takes keys of one slot only: then everything but the
 *   queues is in the slot of the prefix, in braces there, and each queue in a slot of its own. Default false.
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
      // The name of a queue has neither a colon nor a brace.
      const queue = key.startsWith(start) ? (/^[^:}]+/.exec(key.slice(start.length))?.[0] ?? '') : '';
      const id = queue !== '' && key.startsWith(jobs(queue)) ? key.slice(jobs(queue).length) : '';
      return id === '' ? null : { queue, id };
    },
  };
}

/** Keys that a BullMQ queue keeps beside its jobs: a job with such an id would overwrite one and break the queue. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  ...['active', 'wait', 'waiting', 'waiting-children', 'paused', 'id', 'delayed', 'prioritized', 'priority'],
  ...['stalled-check', 'completed', 'failed', 'stalled', 'repeat', 'limiter', 'meta', 'events', 'pc', 'marker', 'de', 'metrics'],
]);

/** What BullMQ keeps beside a job, in keys that begin with the job's. */
const BESIDE_A_JOB = /:(lock|logs|dependencies|processed|failed|unsuccessful|data)$/;

/** True for what follows a queue's name in a key that is no job's: `wait`, `meta`, `metrics:completed`, `<job id>:lock`. */
export function isQueueKey(id: string): boolean {
  return RESERVED_IDS.has(id) || BESIDE_A_JOB.test(id) || id.startsWith('de:') || id.startsWith('metrics:');
}

/**
 * Names under `p:tasks:`, ours and open-webui's: the lease of a task with such an id would be that key, and open-webui deletes
 * the lease of a task that it stops. Each may be followed by a colon and more.
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
 * Whether open-webui may know of a task: whether the key of its lease is no other key. A plain BullMQ queue may add a job of any
 * id; one that is not shared is in the fleet's own part of the registry alone.
 */
export function isShared(id: string): boolean {
  const colon = id.indexOf(':');
  return !TASK_KEY_NAMES.has(colon === -1 ? id : id.slice(0, colon));
}

export const MAX_ID_LENGTH = 128;
/** Of ids that others gave. */
export const MAX_KNOWN_ID_LENGTH = 1_000;
export const MAX_ITEM_LENGTH = 256;
const ID = /^[A-Za-z0-9][A-Za-z0-9._~@=+-]*$/;
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/i;
// eslint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/;

/** What is wrong with a task id, or null. */
export function problemOfId(id: unknown): string | null {
  if (typeof id !== 'string') return `expected a string, got ${id === null ? 'null' : typeof id}`;
  if (id.length === 0 || id.length > MAX_ID_LENGTH) return `expected 1 to ${MAX_ID_LENGTH} characters, got ${id.length}`;
  if (!ID.test(id)) return `expected letters, digits and . _ ~ @ = + - only, beginning with a letter or digit, got ${quote(id)}`;
  if (/^\d+$/.test(id)) return `expected something that is not a whole number, got ${quote(id)}`;
  if (RESERVED_IDS.has(id)) return `${quote(id)} is the name of one of a queue's own keys`;
  if (!isShared(id)) return `${quote(id)} is the name of one of the registry's own keys`;
  return null;
}

/** What is wrong with an item, or null. */
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

/** What is wrong with the id of a task to look for, or null. A plain BullMQ queue may have given any id: our rule is for new tasks of ours. */
export function problemOfKnownId(id: unknown): string | null {
  if (typeof id !== 'string') return `expected a string, got ${id === null ? 'null' : typeof id}`;
  if (id.length === 0 || id.length > MAX_KNOWN_ID_LENGTH) return `expected 1 to ${MAX_KNOWN_ID_LENGTH} characters, got ${id.length}`;
  if (id.includes('\0')) return `expected no NUL, got ${quote(id)}`;
  if (!id.isWellFormed()) return `expected well-formed Unicode, got ${quote(id)}`;
  return null;
}

/**
 * The id of a task to look for: an id of ours, or any that a plain BullMQ queue may have given.
 * @throws FleetError `INVALID_ID`
 */
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

/** True for a name that a task or a queue may have. */
export function isName(name: unknown): name is string {
  return typeof name === 'string' && NAME.test(name);
}

/** At most 60 characters of something foreign, escaped, for a message. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
