import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ErrorRequestHandler, type RequestHandler, Router } from 'express';
import type { ListOptions, Producer, StopReceipt, TaskPage } from '../../producer/index.js';
import { type ErrorCode, FleetError } from '../../shared/errors.js';
import { checkItem, checkKnownId } from '../../shared/keys.js';
import { reachRedis } from '../reach-redis.js';
import { sendJson } from '../send-json.js';

/** The most that the producer gives at once. */
const PAGE = 1_000;
/** Kept with each task that is stopped here. */
const BY = 'dashboard';

/**
 * The four routes of open-webui, with its paths and bodies (`backend/open_webui/main.py`, `tasks.py`). It has them behind
 * its own log-in, which knows whose chat is whose; here there is none.
 * - `GET /api/tasks` → `{"tasks":[ids]}`: all live tasks, those of other programs last.
 * - `POST /api/tasks/stop/{task_id}` → `{"status":true,"message":…}` once the stop is recorded, or if the task has ended;
 *   404 `{"detail":…}` if there is no such task, as FastAPI has it.
 * - `GET /api/tasks/chat/{item}` → `{"task_ids":[ids]}`: the item's live tasks.
 * - `POST /api/tasks/chat/{item}/stop` → `{"status":true,"message":…}`, also if there were none.
 *
 * An item may contain slashes, encoded or not. Stopping again is safe.
 */
export function taskRoutes(producer: Producer): Router {
  const router = Router({ caseSensitive: true });
  router.get('/api/tasks', (_req, res) => sendIds(res, producer, 'tasks', {}));
  router.post('/api/tasks/stop/:task_id', stopTask(producer));
  router.get('/api/tasks/chat/*item', (req, res) => sendIds(res, producer, 'task_ids', { item: itemOf(req.params.item) }));
  router.post('/api/tasks/chat/*item/stop', stopItem(producer));
  router.use('/api/tasks/stop', onBadEncoding('INVALID_ID', 'Bad task id'));
  router.use('/api/tasks/chat', onBadEncoding('INVALID_ITEM', 'Bad item'));
  return router;
}

function stopTask(producer: Producer): RequestHandler<{ task_id: string }> {
  return async ({ params }, res) => {
    const id = checkKnownId(params.task_id);
    await reachRedis(producer);
    const { outcome } = await producer.stop(id, { by: BY });
    if (outcome === 'not_found') sendJson(res, { detail: `Task with ID ${id} not found.` }, { status: 404 });
    else sendJson(res, { status: true, message: `Task ${id} ${STOPPED_AS[outcome]}.` });
  };
}

function stopItem(producer: Producer): RequestHandler<{ item: string[] }> {
  return async ({ params }, res) => {
    const item = itemOf(params.item);
    await reachRedis(producer);
    const outcomes = new Set((await producer.stopItem(item, { by: BY })).map(({ outcome }) => outcome));
    outcomes.delete('not_found');
    const how = outcomes.has('requested') ? 'are being stopped' : 'stopped';
    sendJson(res, { status: true, message: outcomes.size === 0 ? `No tasks found for item ${item}.` : `All tasks for item ${item} ${how}.` });
  };
}

const STOPPED_AS: Record<Exclude<StopReceipt['outcome'], 'not_found'>, string> = {
  cancelled: 'stopped',
  requested: 'is being stopped',
  finished: 'had already ended',
};

/** Sends ids page by page, so that a fleet of any size takes the memory of a page. */
async function sendIds(res: ServerResponse, producer: Producer, field: string, options: ListOptions): Promise<void> {
  await reachRedis(producer);
  // Most errors show with the first page, while the answer can still be an error.
  const first = await producer.list({ ...options, limit: PAGE });
  res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  await pipeline(Readable.from(idsAsJson(producer, field, options, first)), res);
}

async function* idsAsJson(producer: Producer, field: string, options: ListOptions, first: TaskPage): AsyncGenerator<string, void, undefined> {
  yield `{${JSON.stringify(field)}:[`;
  let comma = '';
  for (let page = first; ; page = await producer.list({ ...options, limit: PAGE, after: page.next })) {
    if (page.tasks.length > 0) {
      yield comma + JSON.stringify(page.tasks.map(({ id }) => id)).slice(1, -1);
      comma = ',';
    }
    if (page.next === null) break;
  }
  yield ']}';
}

/** Express splits what a wildcard matched at its slashes, and decodes the parts. */
function itemOf(parts: readonly string[]): string {
  return checkItem(parts.join('/'));
}

/** Express cannot decode the path, `%zz` or half a character, and says so before any route is reached. */
function onBadEncoding(code: ErrorCode, what: string): ErrorRequestHandler {
  return (error: unknown, _req, _res, next) => {
    next(error instanceof URIError ? new FleetError(code, `${what}: expected percent-encoded UTF-8.`, { cause: error }) : error);
  };
}
