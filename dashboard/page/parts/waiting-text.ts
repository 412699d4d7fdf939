import type { Task } from './api-types.js';
import { dueIn } from './wording.js';

type Waiting = NonNullable<Task['waiting_for']>;
type PauseWait = Extract<Waiting, { readonly kind: 'paused' }>;
type LimitWait = Exclude<Waiting, PauseWait>;
type Place = Pick<LimitWait, 'kind' | 'name' | 'key' | 'position'>;
type PausedQueue = Pick<PauseWait, 'kind' | 'queue' | 'by' | 'reason'>;

const ORDINALS = ['first', 'second', 'third', 'fourth', 'fifth', 'sixth', 'seventh', 'eighth', 'ninth', 'tenth'] as const;
const SUFFIXES: Readonly<Record<string, string>> = { one: 'st', two: 'nd', few: 'rd', other: 'th' };
const rules = new Intl.PluralRules('en', { type: 'ordinal' });

/** `third`, and from 11 on `11th`. */
export function ordinal(position: number): string {
  return ORDINALS[position - 1] ?? `${position.toLocaleString('en')}${SUFFIXES[rules.select(position)] ?? 'th'}`;
}

/** Says what a task waits for: `third in line for chat:1`, `queue chat is paused by alice: the model is down`. */
export function waitText(waiting: Place | PausedQueue): string {
  return waiting.kind === 'paused' ? pauseText(waiting) : lineText(waiting);
}

/** `queue chat is paused by alice: the model is down`. */
export function pauseText({ queue, by, reason }: Omit<PausedQueue, 'kind'>): string {
  return `queue ${queue} is paused${by === null ? '' : ` by ${by}`}${reason === null ? '' : `: ${reason}`}`;
}

/** Says where a task stands: `third in line for chat:1`. */
export function lineText(waiting: Place): string {
  return `${ordinal(waiting.position)} in line for ${limitText(waiting)}`;
}

/** Names a limit: its key, or its owner if it has none. */
export function limitText({ kind, name, key }: Pick<LimitWait, 'kind' | 'name' | 'key'>): string {
  const [owner, of] = /^(group|queue):(.*)$/s.exec(name)?.slice(1) ?? ['task', name];
  const subject = key ?? (owner === 'task' ? of : `${owner} ${of}`);
  switch (kind) {
    case 'concurrency':
      return subject as string;
    case 'fair':
      return `a turn of ${subject} on ${of}`;
    case 'rate':
      return `the rate of ${subject}`;
  }
}

/** The list is not told of changes of position beyond this one. */
const SHOWN_POSITIONS = ORDINALS.length;

/** Says in a list what a task waits for; null if neither a limit nor a pause keeps it. */
export function rowText({ waiting_for: waiting }: Pick<Task, 'waiting_for'>): string | null {
  if (waiting === null) return null;
  if (waiting.kind === 'paused') return pauseText({ ...waiting, reason: null });
  return waiting.position <= SHOWN_POSITIONS ? lineText(waiting) : `in line for ${limitText(waiting)}`;
}

/** Says what a task waits for, and when its rate admits the next task; null if neither a limit nor a pause keeps it. */
export function waitingText({ waiting_for: waiting }: Pick<Task, 'waiting_for'>, now: number): string | null {
  if (waiting === null) return null;
  if (waiting.kind === 'paused') return pauseText(waiting);
  return lineText(waiting) + (waiting.next_at === null ? '' : `, next ${dueIn(Date.parse(waiting.next_at) - now)}`);
}
