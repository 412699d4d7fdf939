import type { LogLine, LogPage } from './bodies.js';
import type { Connection } from './connection.js';
import { type StreamOptions, messagesOf } from './event-source.js';
import { pathOf, readData } from './events.js';

export interface LogOptions extends Omit<StreamOptions, 'after'> {
  /** The `seq` of the last line received. Default 0: from the oldest kept line. */
  readonly after?: number | undefined;
  /** Follows the log until the task has finished. Default false. */
  readonly follow?: boolean | undefined;
}

/** The most lines of a page. */
const PAGE_SIZE = 1_000;

/** Yields the lines of a task's log, each once. */
export async function* logsOf(
  connection: Connection,
  id: string,
  { after = 0, follow = false, ...options }: LogOptions,
): AsyncGenerator<LogLine, void, undefined> {
  const path = `${pathOf(id)}/logs`;
  if (follow) {
    for await (const { event, data } of messagesOf(connection, path, { ...options, after: String(after) })) {
      if (event === 'end') return;
      if (event === 'line') yield readData(data) as LogLine;
    }
    return;
  }
  for (let next: number | null = after; next !== null;) {
    const query = { after: next, limit: PAGE_SIZE };
    const page: LogPage = await connection.request('GET', path, { query, signal: options.signal });
    yield* page.lines;
    next = page.next;
  }
}
