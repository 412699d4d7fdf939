import { RESERVED_IDS } from '../keys.js';

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
  'other',
] as const;
export type UnreadableKind = (typeof UNREADABLE_KINDS)[number];

/** Kinds by the start of the key after the fleet's prefix; the first match counts. */
const KINDS: readonly (readonly [string, UnreadableKind])[] = [
  ['bull:', 'task'],
  ['tasks:stops', 'stop'],
  ['tasks:events:', 'events'],
  ['tasks', 'registry'],
  ['items:', 'registry'],
  ['fleet', 'registry'],
  ['open_webui', 'registry'],
  ['queues', 'queue'],
  ['workers', 'worker'],
  ['reconcile', 'reconciler'],
  ['schedules', 'schedule'],
  ['metrics:', 'metrics'],
  ['usage_', 'pool'],
  ['session_', 'pool'],
  ['models', 'model'],
  ['billing:plans', 'plan'],
  ['dashboard:', 'dashboard'],
];

/** Returns the kind of the data under a key. */
export function kindOfKey(prefix: string, key: string): UnreadableKind {
  // On a cluster, the keys of a queue have braces: {p:bull:chat}:chat:…
  const bare = (text: string): string => text.replaceAll(/[{}]/g, '');
  const start = `${bare(prefix)}:`;
  const name = bare(key);
  if (!name.startsWith(start)) return 'other';
  const rest = name.slice(start.length);
  const kind = KINDS.find(([beginning]) => rest.startsWith(beginning))?.[1] ?? 'other';
  return kind === 'task' && RESERVED_IDS.has(rest.slice(rest.lastIndexOf(':') + 1)) ? 'queue' : kind;
}
