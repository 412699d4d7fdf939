import type { LogLine as LineJson } from '../../client/index.js';
import type { LogLine, LogOptions } from '../../producer/index.js';
import type { ApiConnection } from './http-connection.js';

/** Yields the lines of a task's log over the API, as the producer does. @throws as `follow` */
export async function* readLog(
  connection: ApiConnection,
  id: string,
  { after = 0, limit = Infinity, follow = false, signal }: LogOptions = {},
): AsyncGenerator<LogLine, void, undefined> {
  let left = limit;
  for await (const line of connection.follow((client, options) => client.logs(id, { ...options, after, follow, signal }), lineOf)) {
    yield line;
    left -= 1;
    if (left <= 0) return;
  }
}

function lineOf({ seq, at, level, attempt, message, fields }: LineJson): LogLine {
  if (typeof seq !== 'number' || typeof message !== 'string') throw new TypeError('expected a line');
  return { seq, at: at === null ? null : new Date(at), level, attempt, message, fields };
}
