import { z } from 'zod';
import { type TaskView, isTerminal, taskToJson } from '../../../producer/index.js';
import { compareStreamIds } from '../../../producer/wait/stream-reader.js';
import { EventHistory } from '../../../shared/events/history.js';
import { requireVisible, seesItem } from '../../auth/principal.js';
import { type Route, defineRoute } from '../route.js';
import { taskEvents } from '../schemas/event.js';
import { knownId } from '../schemas/fields.js';
import { task as taskSchema } from '../schemas/task.js';
import { type EventWriter, PIECE, eventText } from '../stream/event-writer.js';
import { type HistoryPage, type TaskFeed, textOf } from '../stream/task-feed.js';
import { visibleTask } from '../visible-task.js';

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
  itemTokens: true,
  operation: 'followTask',
  summary: 'Follow a task until it finishes',
  description: [
    'Server-sent events with JSON `data`: first `snapshot`, a Task; then its history and what follows, in order and without repetition:',
    '`state` (`{"at", "state", "attempt", "error", "next_attempt_at", "waiting_for", "receipt", "skipped_for", "task"}`),',
    '`chunk` (`{"at", "chunk"}`) and `progress` (`{"at", "progress"}`). `at` is the time of the event.',
    'Each attempt begins with the `state` `running`, with its number in',
    '`attempt`; `retrying` has the `error` of the attempt that ended, without stacks, and `next_attempt_at`; `queued` has',
    'in `waiting_for` the limit or paused queue that the task waits for, without `behind`.',
    'The last event is a terminal `state`, with the finished task (null without retention) and, if it was stopped, the receipt.',
    'The `id` of an event is its position in the task’s stream; `Last-Event-ID` or `after` resumes from it.',
    '204: the client has received the last event.',
  ].join(' '),
  params: z.strictObject({ id: knownId }),
  query: z.strictObject({ after: eventId.optional() }),
  headers: z.object({ 'last-event-id': eventId.optional() }),
  replies: {
    200: {
      ...{ about: 'Events until the task finishes.', schema: z.string(), type: 'text/event-stream' },
      events: { snapshot: taskSchema, ...taskEvents },
    },
    204: { about: 'The task has finished, and the client has received its last event.', schema: null },
  },
  errors: ['INVALID_ID', 'TASK_NOT_FOUND', 'TOO_MANY_REQUESTS'],
  handle: async ({ api, principal, params: { id }, query, headers, req, res }) => {
    const after = headers['last-event-id'] ?? query.after ?? START;
    const task = requireVisible(principal, id, await api.streams.read(id));
    if (after.endsWith(END) && isTerminal(task.state)) return { status: 204 };
    if (req.method === 'HEAD') return headOfStream;
    const writer = api.streams.open(res, principal);
    const shown = (found: TaskView | null): Promise<TaskView> =>
      visibleTask(api.store.reader, principal, requireVisible(principal, id, found));
    await api.streams.follow(id, (feed) => sendTask(feed, writer, after.replace(END, ''), shown));
    return null;
  },
});

const headOfStream = { status: 200, headers: { 'Content-Type': 'text/event-stream' } } as const;

async function sendTask(
  feed: TaskFeed,
  writer: EventWriter,
  after: string,
  check: (task: TaskView | null) => Promise<TaskView>,
): Promise<void> {
  const { from, upTo, state } = feed.join();
  // Nothing has been sent yet, so errors still become problem responses.
  const task = await check(await feed.read());
  const snapshot = eventText('snapshot', JSON.stringify(taskToJson(task)));
  writer.start();
  await writer.send(snapshot);
  const history = new EventHistory();
  if (after !== START) history.skip(task);
  // Later changes are in the feed's log.
  else if (state !== null) history.learnUntil(task, state.event.at);
  else history.learn(task);
  for (let at: string | null = after; at !== null && compareStreamIds(at, upTo) < 0 && !writer.signal.aborted;) {
    const page: HistoryPage = await feed.history(at, upTo);
    const texts = new Map(page.serialized.map(({ event, text }) => [event, text]));
    await writer.sendAll(history.merge([...texts.keys()]).map((event) => texts.get(event) ?? textOf(event)));
    at = page.last;
  }
  await writer.sendAll(history.rest().map(textOf));
  // An attempt without output is not in the stream, and this client joined after the feed saw its start.
  if (state !== null && history.changes.isNews(state.event)) await writer.send(state.text);
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
  itemTokens: true,
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
    const writer = api.streams.open(res, principal);
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
