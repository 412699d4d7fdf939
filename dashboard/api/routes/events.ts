import { z } from 'zod';
import { type TaskView, isTerminal, taskToJson } from '../../../producer/index.js';
import { StateChanges } from '../../../shared/task/state-changes.js';
import { callerKeyOf, seesItem } from '../../auth/principal.js';
import { compareStreamIds } from '../../../producer/stream-hub.js';
import { requireVisible } from '../access.js';
import { type Route, defineRoute } from '../route.js';
import { knownId } from '../schemas/fields.js';
import { type EventWriter, PIECE, eventText } from '../stream/event-writer.js';
import type { HistoryPage, TaskFeed } from '../stream/task-feed.js';

const eventId = z
  .string()
  .regex(/^\d{1,16}(-\d{1,16})?(-end)?$/, 'expected the id of an event')
  .meta({ description: 'The id of the last event that was seen. Default: everything that is kept is repeated.' });

const START = '0-0';
const END = '-end';

const ofTask = defineRoute({
  method: 'get',
  path: '/tasks/{id}/events',
  role: 'viewer',
  operation: 'followTask',
  summary: 'Follow a task until it ends',
  description: [
    'Server-sent events, `data` is JSON: first `snapshot`, a Task; then, each once and in order, `chunk` (`{"chunk": …}`), `progress` (`{"progress": …}`) and `state`',
    '(`{"state", "attempt", "receipt", "task"}`). Each attempt that says something begins with a `state` `running`, with its number in `attempt`. The last one is a `state` with a terminal state: it has the task as it ended, null if it is not kept, and the receipt if it was stopped.',
    'The `id` of an event is its place in the task’s stream: `Last-Event-ID`, or `after`, takes up from there. 204: the client had the last one, there is no more.',
  ].join(' '),
  params: z.strictObject({ id: knownId }),
  query: z.strictObject({ after: eventId.optional() }),
  headers: z.object({ 'last-event-id': eventId.optional() }),
  replies: {
    200: { about: 'Events, until the task ends.', schema: z.string(), type: 'text/event-stream' },
    204: { about: 'The task has ended, and the client had its last event.', schema: null },
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
  // Nothing was sent so far: an error is still a whole answer.
  const snapshot = eventText('snapshot', JSON.stringify(taskToJson(check(await feed.read()))));
  writer.start();
  await writer.send(snapshot);
  const changes = new StateChanges();
  let told = after !== START;
  for (let at: string | null = after; at !== null && compareStreamIds(at, upTo) < 0 && !writer.signal.aborted;) {
    const page: HistoryPage = await feed.history(at, upTo);
    const news = page.said.filter(({ event }) => changes.isNews(event));
    told ||= news.length > 0;
    await writer.sendAll(news.map(({ text }) => text));
    at = page.last;
  }
  // What was said before does not tell it: a silent attempt is not in the stream, and this client missed when the feed saw it.
  if (told && state !== null && changes.isNews(state.event)) await writer.send(state.text);
  for (let at = from; !writer.signal.aborted;) {
    const texts = feed.log.from(at, PIECE);
    // Too slow for what is kept here: it comes back with the id of its last event, and gets the rest from Redis.
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
    'Server-sent events, `data` is JSON: `ready` (`{}`) once changes are told: fetch the list then; and `change` (`{"changed": [Task …], "removed": [id …]}`), about once a second if there is one.',
    'A task that is over is in `removed`, and, if it is kept, in `changed` as it ended. Watched are the 1,000 newest live tasks. Cannot be resumed: fetch the list again after each `ready`.',
  ].join(' '),
  replies: { 200: { about: 'Events, until the client goes.', schema: z.string(), type: 'text/event-stream' } },
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
