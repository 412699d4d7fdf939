import { StateChanges } from '../shared/events/state-changes.js';
import { isTerminal } from '../shared/task/state.js';
import type { EndEvent, TaskEvent } from './bodies.js';
import type { Connection } from './connection.js';
import { UnexpectedResponseError } from './errors.js';
import { type StreamMessage, type StreamOptions, messagesOf } from './event-source.js';

/** Yields the events of a task, each once and in order. Returns after its last one. */
export async function* eventsOf<Chunk>(
  connection: Connection,
  id: string,
  options: StreamOptions,
): AsyncGenerator<TaskEvent<Chunk>, void, undefined> {
  const changes = new StateChanges();
  // Changes without a position: after a loss without any event of the stream, the history comes again.
  const shown = new Set<string>();
  for await (const message of messagesOf(connection, `${pathOf(id)}/events`, options)) {
    const event = readEvent<Chunk>(message);
    if (event === null) continue;
    if (isEnd(event)) return yield event;
    if (event.type === 'state' && event.id === null) {
      const key = `${event.state} ${event.attempt} ${event.at}`;
      if (shown.has(key)) continue;
      shown.add(key);
    }
    if (changes.isNews(event)) yield event;
  }
}

/** Returns whether an event is a task's last one. */
export function isEnd(event: TaskEvent): event is EndEvent {
  return event.type === 'state' && isTerminal(event.state);
}

/** Returns the event of a message; null for a snapshot, which the history follows, and for a kind of a newer version. */
function readEvent<Chunk>({ event: type, id, data }: StreamMessage): TaskEvent<Chunk> | null {
  if (type !== 'state' && type !== 'chunk' && type !== 'progress') return null;
  const event = { type, id, ...(readData(data) as object) } as TaskEvent<Chunk>;
  // The API makes up the id of the last event: it is no position in the task's stream.
  return isEnd(event) ? { ...event, id: null } : event;
}

/** Returns the JSON of a message. @throws UnexpectedResponseError */
export function readData(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch (cause) {
    throw new UnexpectedResponseError('UNEXPECTED_RESPONSE', 'An event is not JSON.', { status: 200, cause });
  }
}

export function pathOf(id: string): string {
  return `/tasks/${encodeURIComponent(id)}`;
}
