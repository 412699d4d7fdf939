import { RESERVED_IDS } from '../reserved-ids.js';

/** Kinds of unreadable records: the label `kind` of their metric. */
export const UNREADABLE_KINDS = [
  'task',
  'queue',
  'registry',
  'stop',
  'events',
  'worker',
  'reconciler',
  'schedule',
  'metrics',
  'pool',
  'model',
  'plan',
  'dashboard',
  'limit',
  'other',
] as const;
export type UnreadableKind = (typeof UNREADABLE_KINDS)[number];

/** Kinds by the start of the key after the fleet's prefix; the first match counts. */
const KINDS: readonly (readonly [string, UnreadableKind])[] = [
  ['bull:', 'task'],
  ['bulk:', 'task'],
  ['tasks:stops', 'stop'],
  ['tasks:events:', 'events'],
  ['tasks', 'registry'],
  ['items:', 'registry'],
  ['fleet', 'registry'],
  ['open_webui', 'registry'],
  ['queues', 'queue'],
  ['workers', 'worker'],
  ['lost_workers', 'worker'],
  ['definitions', 'worker'],
  ['reconcile', 'reconciler'],
  ['schedules', 'schedule'],
  ['metrics:', 'metrics'],
  ['usage_', 'pool'],
  ['session_', 'pool'],
  ['models', 'model'],
  ['billing:plans', 'plan'],
  ['dashboard:', 'dashboard'],
  ['limits:', 'limit'],
];

/** An index of ended tasks, or the limits of the indexes. */
const KEPT = /:kept:(limits|completed|failed|cancelled)/;

/** Returns the kind of the data under a key. */
export function kindOfKey(prefix: string, key: string): UnreadableKind {
  // On a cluster, the keys of a queue have braces: {p:bull:chat}:chat:…
  const bare = (text: string): string => text.replaceAll(/[{}]/g, '');
  const start = `${bare(prefix)}:`;
  const name = bare(key);
  if (!name.startsWith(start)) return 'other';
  const rest = name.slice(start.length);
  const kind = KINDS.find(([beginning]) => rest.startsWith(beginning))?.[1] ?? 'other';
  const isOfQueue = RESERVED_IDS.has(rest.slice(rest.lastIndexOf(':') + 1)) || KEPT.test(rest);
  return kind === 'task' && isOfQueue ? 'queue' : kind;
}
