/** The kinds of what needs attention. */
export const ATTENTION_KINDS = [
  'redis_memory',
  'redis_refuses',
  'redis_evicts',
  'no_workers',
  'silent_worker',
  'unsubscribed_worker',
  'broken_queue',
  'paused_queue',
  'untaken_queue',
  'unreadable_queue',
  'no_reconcile',
  'lost_workers',
  'definitions_differ',
  'slow_task',
  'slow_stop',
  'long_wait',
] as const;
type AttentionKind = (typeof ATTENTION_KINDS)[number];

/** What needs the attention of a person, in the API's JSON format. */
export interface Attention {
  /** `critical`: tasks fail, wait or are at risk until somebody acts. `warning`: worth a look. */
  readonly level: 'critical' | 'warning';
  readonly kind: AttentionKind;
  readonly text: string;
  /** The page that shows it, relative to the dashboard's mount point; null if none does. */
  readonly link: string | null;
}

const MOST = 50;

export function critical(kind: AttentionKind, text: string, link: string | null = null): Attention {
  return { level: 'critical', kind, text, link };
}

export function warning(kind: AttentionKind, text: string, link: string | null = null): Attention {
  return { level: 'warning', kind, text, link };
}

/** Sorts the most severe first, and leaves out what exceeds a page. */
export function mostSevere(all: readonly Attention[]): Attention[] {
  const bySeverity = (['critical', 'warning'] as const).flatMap((level) => all.filter((one) => one.level === level));
  return bySeverity.slice(0, MOST);
}

/** Returns the link to the tasks that match a filter. */
export function tasksLink(filter: Readonly<Record<string, string>>): string {
  return `/tasks?${new URLSearchParams(filter).toString()}`;
}

export function taskLink(id: string): string {
  return `/tasks/${encodeURIComponent(id)}`;
}

/** `1 task`, `2 tasks`. */
export function several(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
