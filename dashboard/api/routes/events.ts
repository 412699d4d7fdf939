import { z } from 'zod';
import { type TaskView, isTerminal, taskToJson } from '../../../producer/index.js';
import { compareStreamIds } from '../../../producer/wait/stream-reader.js';
import { StateChanges } from '../../../shared/task/event-stream.js';
import { callerKeyOf, requireVisible, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { knownId } from '../schemas/fields.js';
import { type EventWriter, PIECE, eventText } from '../stream/event-writer.js';
import type { HistoryPage, TaskFeed } from '../stream/task-feed.js';

const eventId = z
  .string()
  .regex(/^\d{1,16}(-\d{1,16})?(-end)?$/, 'expected an event id')
  .meta({ description: 'The id of the last event received. Default: replay all retained events.' });

const START = '0-0';
const END = '-end';

const ofTask = defineRoute({
  method: 'get',
  path: '/tasks/{id}/events',
  role: 'viewer',
  operation: 'followTask',
  summary: 'Follow a task until it finishes',
  description: [
    'Server-sent events with JSON `data`: first `snapshot`, a Task; then, in order and without repetition, `chunk` (`{"chunk": …}`),',
    '`progress` (`{"progress": …}`) and `state` (`{"state", "attempt", "receipt", "task"}`). Each attempt with output begins with the',
    '`state` `running`, with its number in `attempt`. The last event is a terminal `state`, with the finished task (null without',
    'retention) and, if it was stopped, the receipt.',
    'The `id` of an event is its position in the task’s stream; `Last-Event-ID` or `after` resumes from it.',
    '204: the client has received the last event.',
  ].join(' '),
  params: z.strictObject({ id: knownId }),
  query: z.strictObject({ after: eventId.optional() }),
  headers: z.object({ 'last-event-id': eventId.optional() }),
  replies: {
    200: { about: 'Events until the task finishes.', schema: z.string(), type: 'text/event-stream' },
    204: { about: 'The task has finished, and the client has received its last event.', schema: null },
  },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TOO_MANY_REQUESTS'],
  handle: async ({ api, principal, params: { id }, query, headers, req, res }) => {
    const after = headers['last-event-id'] ?? query.after ?? START;
    const task = requireVisible(principal, id, await api.streams.read(id));
    if (after.endsWith(END) && isTerminal(task.state)) return { status: 204 };
    if (req.method === 'HEAD') return headOfStream;
    const writer = api.streams.open(res, callerKeyOf(principal));
    await api.streams.follow(id, (feed) => sendTask(feed, writer, after.replace(END, ''), (found) => requireVisible(principal, id, found)));
    return null;
  },
});

const headOfStream = { status: 200, headers: { 'Content-Type': 'text/event-stream' } } as const;

async function sendTask(feed: TaskFeed, writer: EventWriter, after: string, check: (task: TaskView | null) => TaskView): Promise<void> {
  const { from, upTo, state } = feed.join();
  // Nothing has been sent yet, so errors still become problem responses.
  const snapshot = eventText('snapshot', JSON.stringify(taskToJson(check(await feed.read()))));
  writer.start();
  await writer.send(snapshot);
  const changes = new StateChanges();
  let relevant = after !== START;
  for (let at: string | null = after; at !== null && compareStreamIds(at, upTo) < 0 && !writer.signal.aborted;) {
    const page: HistoryPage = await feed.history(at, upTo);
    const news = page.serialized.filter(({ event }) => changes.isNews(event));
    relevant ||= news.length > 0;
    await writer.sendAll(news.map(({ text }) => text));
    at = page.last;
  }
  // An attempt without output is not in the stream, and this client joined after the feed saw its start.
  if (relevant && state !== null && changes.isNews(state.event)) await writer.send(state.text);
  for (let at = from; !writer.signal.aborted;) {
    const texts = feed.log.from(at, PIECE);
    // Too slow for the buffer: the client reconnects with its last event id and reads the rest from Redis.
    if (texts === null || (texts.length === 0 && feed.log.ended)) return writer.end();
    if (texts.length === 0) await feed.log.more(at, writer.signal);
    else await writer.sendAll(texts);
    at += texts.length;
  }
}

const ofList = defineRoute({
  method: 'get',
  path: '/events',
  role: 'viewer',
  operation: 'followList',
  summary: 'Follow the list of live tasks',
  description: [
    'Server-sent events with JSON `data`: `ready` (`{}`) once changes are sent, the time to fetch the list; then `change`',
    '(`{"changed": [Task …], "removed": [id …]}`), at most about once a second.',
    'A finished task is in `removed` and, with retention, in `changed` in its final state. Covers the 1,000 newest live tasks.',
    'Cannot be resumed: fetch the list again after each `ready`.',
  ].join(' '),
  replies: { 200: { about: 'Events until the client disconnects.', schema: z.string(), type: 'text/event-stream' } },
  errors: ['TOO_MANY_REQUESTS'],
  handle: async ({ api, principal, req, res }) => {
    if (req.method === 'HEAD') return headOfStream;
    const writer = api.streams.open(res, callerKeyOf(principal));
    const { list } = api.streams;
    const from = await list.join();
    try {
      writer.start();
      await writer.send(eventText('ready', '{}'));
      for (let at = from; !writer.signal.aborted;) {
        const changes = list.log.from(at, 1);
        if (changes === null || (changes.length === 0 && list.log.ended)) {
          writer.end();
          break;
        }
        if (changes.length === 0) await list.log.more(at, writer.signal);
        for (const change of changes) {
          const event = principal.items === null ? change.whole() : change.part((item) => seesItem(principal, item));
          if (event !== null) await writer.send(event);
        }
        at += changes.length;
      }
    } finally {
      list.leave();
    }
    return null;
  },
});

export const eventRoutes: readonly Route[] = [ofTask, ofList];
