import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { type ErrorRequestHandler, type Request, type RequestHandler, type Response, Router } from 'express';
import type { ListOptions, Producer, StopReceipt, TaskPage, TaskView } from '../../producer/index.js';
import { type ErrorCode, FleetError, isFleetError } from '../../shared/errors.js';
import { checkItem, checkKnownId } from '../../shared/keys.js';
import { MAX_PAGE_SIZE } from '../../shared/limits.js';
import { exactly } from '../../shared/task/filter/filter.js';
import { audited, noteItem } from '../auth/audit.js';
import { requireRole } from '../auth/authenticate.js';
import { checkMayStop, hasRole, principalOf, seesItem } from '../auth/principal.js';
import { reachRedis } from '../http/reach-redis.js';
import { sendJson } from '../http/send-json.js';
import { traced } from '../http/traced.js';

/** The producer's maximum page size. */
/**
 * The four open-webui routes, with its paths and bodies (`backend/open_webui/main.py`, `tasks.py`). For a caller, tasks of
 * items outside its patterns do not exist. docs/guides/beside-open-webui.md compares each response with open-webui's.
 * - `GET /api/tasks` → `{"tasks":[ids]}`: all live tasks, foreign tasks last.
 * - `POST /api/tasks/stop/{task_id}` → `{"status":true,"message":…}` once the stop is recorded, or if the task has finished;
 *   404 `{"detail":…}`, FastAPI's format, if there is no such task.
 * - `GET /api/tasks/chat/{item}` → `{"task_ids":[ids]}`: the item's live tasks; none for an item that the caller may not see.
 * - `POST /api/tasks/chat/{item}/stop` → `{"status":true,"message":…}`, even without live tasks; 404 `{"detail":…}` for an item
 *   that the caller may not see.
 *
 * An item may contain slashes, encoded or not. Repeated stops are safe.
 */
export function taskRoutes(producer: Producer): Router {
  const router = Router({ caseSensitive: true });
  router.get('/api/tasks', requireRole('viewer'), (_req, res) => sendIds(res, producer, 'tasks', {}));
  router.post('/api/tasks/stop/:task_id', requireRole('submitter'), stopTask(producer));
  router.get<{ item: string[] }>('/api/tasks/chat/*item', requireRole('viewer'), (req, res) =>
    sendIds(res, producer, 'task_ids', { item: exactly(itemOf(req.params.item)) }),
  );
  router.post('/api/tasks/chat/*item/stop', requireRole('submitter'), stopItem(producer));
  router.use('/api/tasks', onNotFound());
  router.use('/api/tasks/stop', onUndecodablePath('INVALID_ID', 'Bad task id'));
  router.use('/api/tasks/chat', onUndecodablePath('INVALID_ITEM', 'Bad item'));
  return router;
}

function stopTask(producer: Producer): RequestHandler<{ task_id: string }> {
  const handle = async ({ params }: Request<{ task_id: string }>, res: Response): Promise<void> => {
    const id = checkKnownId(params.task_id);
    await reachRedis(producer, res.req);
    const outcome = await audited(res, { action: 'task.stop', target: id }, () => stop(producer, res, id));
    sendJson(res, { status: true, message: `Task ${id} ${STOPPED_AS[outcome]}.` });
  };
  return (req, res) => traced(producer.telemetry, { req, res, route: '/api/tasks/stop/{task_id}' }, () => handle(req, res));
}

function stopItem(producer: Producer): RequestHandler<{ item: string[] }> {
  const handle = async ({ params }: Request<{ item: string[] }>, res: Response): Promise<void> => {
    const item = itemOf(params.item);
    await reachRedis(producer, res.req);
    const principal = principalOf(res);
    const outcomes = new Set<StopReceipt['outcome']>();
    await audited(res, { action: 'item.stop', target: item }, async () => {
      if (!seesItem(principal, item)) throw new FleetError('NOT_FOUND', `Item ${item} not found.`);
      noteItem(res, item);
      checkMayStop(principal, item);
      const receipts = await producer.stopItem(item, { by: principal.name });
      for (const { outcome } of receipts) outcomes.add(outcome);
      return `${receipts.length} tasks`;
    });
    outcomes.delete('not_found');
    const how = outcomes.has('requested') ? 'are being stopped' : 'stopped';
    sendJson(res, {
      status: true,
      message: outcomes.size === 0 ? `No tasks found for item ${item}.` : `All tasks for item ${item} ${how}.`,
    });
  };
  return (req, res) => traced(producer.telemetry, { req, res, route: '/api/tasks/chat/{item}/stop' }, () => handle(req, res));
}

type StopOutcome = Exclude<StopReceipt['outcome'], 'not_found'>;

/** @throws FleetError `TASK_NOT_FOUND`, `FORBIDDEN` */
async function stop(producer: Producer, res: Response, id: string): Promise<StopOutcome> {
  const principal = principalOf(res);
  const authorize = (task: TaskView | null): void => {
    if (task && seesItem(principal, task.item)) noteItem(res, task.item);
    // An operator without item patterns may stop any task, even one that another program has not registered yet.
    if (principal.items === null && hasRole(principal, 'operator')) return;
    if (!task || !seesItem(principal, task.item)) throw noSuchTask(id);
    checkMayStop(principal, task.item);
  };
  const { outcome } = await producer.stop(id, { by: principal.name, authorize });
  if (outcome === 'not_found') throw noSuchTask(id);
  return outcome;
}

function noSuchTask(id: string): FleetError {
  return new FleetError('TASK_NOT_FOUND', `Task with ID ${id} not found.`);
}

const STOPPED_AS: Record<StopOutcome, string> = {
  cancelled: 'stopped',
  requested: 'is being stopped',
  finished: 'had already ended',
};

/** Streams ids page by page, to bound the memory for a fleet of any size. */
async function sendIds(res: Response, producer: Producer, field: string, filter: ListOptions): Promise<void> {
  const principal = principalOf(res);
  const options: ListOptions = { ...filter, visibleItems: principal.items };
  await reachRedis(producer, res.req);
  // Most errors surface with the first page, before the status is sent.
  const first = await producer.list({ ...options, limit: MAX_PAGE_SIZE });
  res.writeHead(200, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' });
  await pipeline(Readable.from(idsAsJson(producer, field, options, first)), res);
}

async function* idsAsJson(
  producer: Producer,
  field: string,
  options: ListOptions,
  first: TaskPage,
): AsyncGenerator<string, void, undefined> {
  yield `{${JSON.stringify(field)}:[`;
  let comma = '';
  for (let page = first; ; page = await producer.list({ ...options, limit: MAX_PAGE_SIZE, after: page.next })) {
    if (page.tasks.length > 0) {
      yield comma + JSON.stringify(page.tasks.map(({ id }) => id)).slice(1, -1);
      comma = ',';
    }
    if (page.next === null) break;
  }
  yield ']}';
}

/** Joins the path segments that Express split and decoded. */
function itemOf(parts: readonly string[]): string {
  return checkItem(parts.join('/'));
}

/** Answers 404 in FastAPI's format, with the detail alone. */
function onNotFound(): ErrorRequestHandler {
  return (error: unknown, _req, res, next) => {
    if (isFleetError(error, 'TASK_NOT_FOUND', 'NOT_FOUND')) sendJson(res, { detail: error.message }, { status: 404 });
    else next(error);
  };
}

/** Handles paths that Express cannot decode, such as `%zz`, which fail before any route matches. */
function onUndecodablePath(code: ErrorCode, what: string): ErrorRequestHandler {
  return (error: unknown, _req, _res, next) => {
    next(error instanceof URIError ? new FleetError(code, `${what}: expected percent-encoded UTF-8.`, { cause: error }) : error);
  };
}
