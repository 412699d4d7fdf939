import { RESERVED_IDS } from './keys.js';

/** What a record that cannot be read is part of; the label `kind` of its metric. */
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

/** By the start of what follows the prefix of the fleet's keys: the first one that fits. */
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

/** The kind of what a key holds. */
export function kindOfKey(prefix: string, key: string): UnreadableKind {
  // On a cluster the keys of a queue have braces of their own: {p:bull:chat}:chat:…
  const bare = (text: string): string => text.replaceAll(/[{}]/g, '');
  const start = `${bare(prefix)}:`;
  const name = bare(key);
  if (!name.startsWith(start)) return 'other';
  const rest = name.slice(start.length);
  const kind = KINDS.find(([beginning]) => rest.startsWith(beginning))?.[1] ?? 'other';
  return kind === 'task' && RESERVED_IDS.has(rest.slice(rest.lastIndexOf(':') + 1)) ? 'queue' : kind;
}
