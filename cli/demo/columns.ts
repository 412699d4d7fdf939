import { styleText } from 'node:util';
import { formatMs } from '../../shared/duration.js';
import type { TaskState } from '../../shared/task/state.js';
import { cut, textWidth } from '../table.js';

export type Style = 'bold' | 'cyan' | 'dim' | 'green' | 'red' | 'yellow';
export type Paint = (style: Style, text: string) => string;

/** The widest line of the demo, in characters. */
export const MAX_WIDTH = 100;

export interface Cell {
  readonly text: string;
  readonly style?: Style;
  /** Show the end of a text that is too long. Default: its start. */
  readonly end?: boolean;
  /** With the space after it; the last cell of a line gets what is left. */
  readonly width?: number;
}

export const STATE_STYLE: Readonly<Record<TaskState, Style>> = {
  ...{ scheduled: 'dim', queued: 'dim', waiting: 'dim', running: 'cyan', retrying: 'yellow', stopping: 'yellow' },
  ...{ completed: 'green', failed: 'red', cancelled: 'yellow', unreadable: 'red' },
};

/** Paints if the stream is a terminal that shows colours and nobody said NO_COLOR. */
export function createPaint(stream: NodeJS.WriteStream): Paint {
  const colours = stream.isTTY && stream.hasColors();
  return (style, text) => (colours ? styleText(style, text) : text);
}

/** A line of cells, each cut or filled to its width and painted afterwards: what is invisible has no width. */
export function formatLine(cells: readonly Cell[], paint: Paint, lineWidth = MAX_WIDTH): string {
  let left = Math.min(lineWidth, MAX_WIDTH);
  let line = '';
  for (const [at, { text, style, end, width = left }] of cells.entries()) {
    const shown = fit(text, Math.min(width, left) - (at < cells.length - 1 ? 1 : 0), end);
    line += style ? paint(style, shown) : shown;
    left -= Math.min(width, left);
    if (at < cells.length - 1) line += ' '.repeat(Math.max(0, width - textWidth(shown)));
  }
  return line.trimEnd();
}

function fit(text: string, width: number, end = false): string {
  if (width <= 0) return '';
  return end ? cutStart(text, width) : cut(text, width);
}

/** A duration, or a dash where there is none. */
export function formatTime(ms: number | null): string {
  return ms === null ? '–' : formatMs(ms);
}

/** The end of a text rather than its start. */
export function cutStart(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

/** How many there are of each, in the order in which they first come: `3 running · 2 queued`. */
export function countWords(words: readonly string[]): string {
  return [...new Set(words)].map((word) => `${words.filter((other) => other === word).length} ${word}`).join(' · ');
}
