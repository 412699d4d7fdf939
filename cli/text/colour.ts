import { inspect } from 'node:util';
import type { TaskState } from '../../shared/task/state.js';
import type { Io, Output } from '../io.js';

/** What a colour means; the same everywhere. */
export type Tone = 'good' | 'bad' | 'warning' | 'active' | 'ending' | 'quiet' | 'strong';

const CODES: Readonly<Record<Tone, readonly [on: number, off: number]>> = {
  good: codesOf('green'),
  bad: codesOf('red'),
  warning: codesOf('yellow'),
  active: codesOf('cyan'),
  ending: codesOf('magenta'),
  quiet: codesOf('gray'),
  strong: codesOf('bold'),
};

function codesOf(name: string): readonly [number, number] {
  return inspect.colors[name] as [number, number];
}

const STATE_TONES: Readonly<Record<TaskState, Tone | null>> = {
  scheduled: 'quiet',
  queued: null,
  waiting: null,
  running: 'active',
  retrying: 'warning',
  stopping: 'ending',
  completed: 'good',
  failed: 'bad',
  cancelled: 'ending',
  skipped: 'quiet',
  unreadable: 'bad',
};

/** Returns the colour of a task's state; null for the terminal's own. */
export function toneOf(state: TaskState): Tone | null {
  return STATE_TONES[state];
}

/** Colours a terminal-safe text; returns it unchanged without a tone, or if the output has no colours. */
export type Paint = (tone: Tone | null, text: string) => string;

export const PLAIN: Paint = (_tone, text) => text;

const COLOURED: Paint = (tone, text) => {
  if (tone === null || text === '') return text;
  const [on, off] = CODES[tone];
  return `\u001b[${on}m${text}\u001b[${off}m`;
};

/** Returns how to colour what goes to an output of this command. */
export function paintOf({ env }: Pick<Io, 'env'>, { isTTY }: Pick<Output, 'isTTY'>): Paint {
  return hasColours(env, isTTY === true) ? COLOURED : PLAIN;
}

/** FORCE_COLOR decides, then NO_COLOR (https://no-color.org), then whether the output is a terminal with colours. */
function hasColours({ FORCE_COLOR, NO_COLOR, TERM }: Io['env'], terminal: boolean): boolean {
  if (FORCE_COLOR !== undefined) return FORCE_COLOR !== '0' && FORCE_COLOR !== 'false';
  return !NO_COLOR && terminal && TERM !== 'dumb';
}
