import { oneLine } from './output.js';

/** Returns the completed fraction, 0 to 1, or null if the progress does not tell. */
export function share(progress: unknown): number | null {
  if (typeof progress === 'number') return clamp(progress / 100);
  if (typeof progress !== 'object' || progress === null || !('done' in progress) || !('total' in progress)) return null;
  const { done, total } = progress;
  return typeof done === 'number' && typeof total === 'number' && total > 0 ? clamp(done / total) : null;
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}

/** Formats progress as `40%`, `12/30` or JSON; `-` for none, which includes BullMQ's default of 0. */
export function progressText(progress: unknown): string {
  if (progress === null || progress === undefined || progress === 0) return '-';
  if (typeof progress === 'number') return `${Math.round(progress)}%`;
  if (share(progress) === null) return oneLine(JSON.stringify(progress));
  const { done, total } = progress as { done: number; total: number };
  return `${done}/${total}`;
}
