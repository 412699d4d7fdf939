import { z } from 'zod';
import { type LogLine, isTerminal, logLineToJson } from '../../../producer/index.js';
import { MAX_LOG_LINES } from '../../../shared/log/task-log.js';
import { type Principal, requireVisible, seesStacks } from '../../auth/principal.js';
import type { ApiContext } from '../context.js';
import { type Route, defineRoute } from '../route.js';
import { knownId, wholeText } from '../schemas/fields.js';
import { logPage } from '../schemas/log.js';
import { type EventWriter, eventText } from '../stream/event-writer.js';

const EVENT_STREAM = 'text/event-stream';
const END = '-end';
/** The largest number of a line that `after` accepts: `wholeText` has 15 digits. */
const MAX_SEQ = 999_999_999_999_999;

const ofTask = defineRoute({
  method: 'get',
  path: '/tasks/{id}/logs',
  role: 'viewer',
  itemTokens: true,
  operation: 'readTaskLog',
  summary: "Read or follow a task's log",
  description: [
    'The lines that the handler logged in all attempts, oldest first; the last 1,000 lines or 256 KiB are kept.',
    'With `Accept: text/event-stream`: server-sent events `line`, each a LogLine with its `seq` as `id`, until the task finishes; then',
    '`end` (`{"state": …}`, null without retention). `Last-Event-ID` or `after` resumes.',
    '204: the client has received the last event.',
  ].join(' '),
  params: z.strictObject({ id: knownId }),
  query: z.strictObject({
    after: wholeText(0, MAX_SEQ, 'The `seq` of the last line received. Default 0: from the oldest kept line.').optional(),
    limit: wholeText(1, MAX_LOG_LINES, 'Maximum number of lines. Default 100. Without effect on a stream.').optional(),
  }),
  headers: z.object({
    'last-event-id': z
      .string()
      .regex(/^\d{1,15}(-end)?$/, 'expected the id of a line')
      .optional(),
  }),
  replies: {
    200: { about: 'A page of lines, or events.', schema: logPage, streams: EVENT_STREAM },
    204: { about: 'The task has finished, and the client has received its last event.', schema: null },
  },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TOO_MANY_REQUESTS'],
  handle: async ({ api, principal, params: { id }, query, headers, req, res }) => {
    const task = requireVisible(principal, id, await api.streams.read(id));
    const json = jsonFor(principal);
    if (!req.headers.accept?.includes(EVENT_STREAM)) {
      const { lines, next, dropped } = await api.producer.logPage(id, query);
      return { status: 200, body: { lines: lines.map(json), next, dropped } };
    }
    const seen = headers['last-event-id'] ?? String(query.after ?? 0);
    if (seen.endsWith(END) && isTerminal(task.state)) return { status: 204 };
    if (req.method === 'HEAD') return { status: 200, headers: { 'Content-Type': EVENT_STREAM } };
    const writer = api.streams.open(res, principal);
    await sendLog(api, id, writer, Number(seen.replace(END, '')), json);
    return null;
  },
});

async function sendLog(api: ApiContext, id: string, writer: EventWriter, after: number, json: (line: LogLine) => unknown): Promise<void> {
  writer.start();
  let seen = after;
  try {
    for await (const lines of api.producer.logBatches(id, { after, follow: true, signal: writer.signal })) {
      await writer.sendAll(lines.map((line) => eventText('line', JSON.stringify(json(line)), String(line.seq))));
      seen = lines.at(-1)?.seq ?? seen;
    }
    const task = await api.producer.get(id);
    await writer.send(eventText('end', JSON.stringify({ state: task?.state ?? null }), `${seen}${END}`));
  } catch (error) {
    // The client left, or reconnects with the id of its last line.
    if (!writer.signal.aborted) api.logger.debug({ error, task: id }, "Could not follow a task's log; ending the stream");
  } finally {
    writer.end();
  }
}

/** Returns the formatter of lines for a caller. */
function jsonFor(principal: Principal): (line: LogLine) => Record<string, unknown> {
  if (seesStacks(principal)) return logLineToJson;
  return (line) => logLineToJson({ ...line, fields: withoutStacks(line.fields) as LogLine['fields'] });
}

function withoutStacks(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutStacks);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).flatMap(([name, inner]) => (name === 'stack' ? [] : [[name, withoutStacks(inner)]])));
}

export const logRoutes: readonly Route[] = [ofTask];
