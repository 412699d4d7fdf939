/** Names of a BullMQ queue's own keys: a job with such an id would overwrite one and break the queue. */
export const RESERVED_IDS: ReadonlySet<string> = new Set([
  ...['active', 'wait', 'waiting', 'waiting-children', 'paused', 'id', 'delayed', 'prioritized', 'priority'],
  ...['stalled-check', 'completed', 'failed', 'stalled', 'repeat', 'limiter', 'meta', 'events', 'pc', 'marker', 'de', 'metrics'],
]);

/** Suffixes of the keys that BullMQ keeps for a job beside its hash. */
const JOB_KEY_SUFFIX = /:(lock|logs|dependencies|processed|failed|unsuccessful|data)$/;

/** Starts of BullMQ's keys besides those, and of our indexes of ended tasks. */
const QUEUE_KEY_START = /^(de|dn|metrics|kept):/;

/** True if the part of a key after the queue's name is not a job's id: `wait`, `meta`, `metrics:completed`, `<job id>:lock`. */
export function isQueueKey(id: string): boolean {
  return RESERVED_IDS.has(id) || JOB_KEY_SUFFIX.test(id) || QUEUE_KEY_START.test(id);
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
