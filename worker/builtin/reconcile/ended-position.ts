/** A position in the walk over the ended tasks of all queues. */
export interface EndedPosition {
  readonly queue: string;
  /** One of BullMQ's sets of ended jobs, or `<kind>:<name>` of an index. */
  readonly list: string;
  readonly offset: number;
}

/** Returns the start of the next list of the queue, or of the next queue; null after the last one. */
export function nextList({ queue, list }: EndedPosition, lists: readonly string[], queues: readonly string[]): EndedPosition | null {
  const next = lists.find((name) => name > list);
  return next === undefined ? firstOf(queues.filter((name) => name > queue)) : { queue, list: next, offset: 0 };
}

/** Returns the start of the walk; null without queues. */
export function firstOf(queues: readonly string[]): EndedPosition | null {
  return queues[0] === undefined ? null : { queue: queues[0], list: '', offset: 0 };
}

/** Serializes a position; `''` for none. */
export function formatEndedPosition(position: EndedPosition | null): string {
  return position ? JSON.stringify([position.queue, position.list, position.offset]) : '';
}

/** Parses a position; null if invalid. */
export function parseEndedPosition(text: string | null): EndedPosition | null {
  try {
    const [queue, list, offset] = JSON.parse(text ?? '') as [unknown, unknown, unknown];
    const isOffset = Number.isSafeInteger(offset) && (offset as number) >= 0;
    return typeof queue === 'string' && typeof list === 'string' && isOffset ? { queue, list, offset: offset as number } : null;
  } catch {
    return null;
  }
}
