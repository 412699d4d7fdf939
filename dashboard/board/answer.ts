import type { BullBoardQueues, ControllerHandlerReturnType, UIConfig } from '@bull-board/api/typings/app';
import type { Request, RequestHandler, Response } from 'express';
import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { isFleetError } from '../../shared/errors.js';
import { isName } from '../../shared/keys.js';
import { asUnavailable } from '../../shared/redis/connection-errors.js';
import type { JobAddress } from '../../shared/task/options-record.js';
import type { KnownDefinitions } from '../api/known-definitions.js';
import { type BodyLimits, readBody } from '../api/read-body.js';
import { audit, isWrite } from '../auth/audit.js';
import { principalOf } from '../auth/principal.js';
import { reachRedis } from '../reach-redis.js';
import { requestIdOf } from '../request-context.js';
import { sendJson } from '../send-json.js';
import type { BoardAnswer, BoardCall, BoardRequest } from './board-call.js';
import { guard } from './guard.js';
import { problemOfAnswer } from './problems.js';
import { QueueView } from './queue-view.js';
import { ruleOf } from './rules.js';
import type { ApiRoute } from './server-adapter.js';

export interface BoardContext {
  readonly producer: Producer;
  readonly definitions: KnownDefinitions;
  readonly body: BodyLimits;
}

const SHOW = '/api/queues/:queueName/:jobId';

/**
 * Answers a route of Bull Board's API: reads by its own handlers, writes by ours where there is one. A write is recorded,
 * whether it was done or not.
 */
export function answerWith(
  { producer, definitions, body }: BoardContext,
  route: ApiRoute,
  all: readonly ApiRoute[],
  uiConfig: UIConfig,
): RequestHandler {
  const show = all.find((one) => one.method === 'get' && one.route === SHOW) as ApiRoute;
  return async (req, res) => {
    await reachRedis(producer);
    const store = storeOf(producer);
    try {
      const request = await requestOf(req, res);
      const proceed = async (): Promise<ControllerHandlerReturnType> => route.handler(request);
      const showJob = async ({ queue, id }: JobAddress): Promise<unknown> => {
        const { status = 200, body: shown } = await show.handler({
          ...request,
          queues: await findQueues(req, res),
          params: { ...request.params, queueName: queue, jobId: id },
        });
        // It may have ended by now, and not be kept.
        return status === 200 ? shown : { job: { id }, status: 'unknown' };
      };
      const call: BoardCall = {
        producer,
        store,
        definitions,
        maxBytes: body.maxBytes,
        principal: request.principal,
        request,
        proceed,
        show: showJob,
      };
      const answer = isWrite(req.method) ? await audited(route, call, res) : await proceed();
      send(res, answer);
    } catch (error) {
      throw asUnavailable(store.redis, error);
    }
  };

  async function requestOf(req: Request, res: Response): Promise<BoardRequest> {
    const principal = principalOf(res);
    const queues = await findQueues(req, res);
    return {
      ...{ queues, uiConfig, principal, headers: req.headers as Record<string, string | undefined> },
      ...{
        query: { ...req.query },
        params: { ...req.params },
        body: isWrite(req.method) ? ((await readBody(req, res, body)) as Record<string, unknown>) : {},
      },
    };
  }

  /** All queues that ever had a task or a worker, as this caller sees them. */
  async function findQueues(req: Request, res: Response): Promise<BullBoardQueues> {
    const store = storeOf(producer);
    const principal = principalOf(res);
    const root = req.baseUrl.slice(0, req.baseUrl.lastIndexOf('/'));
    const names = (await store.registry.queueNames()).filter(isName);
    return new Map(names.map((name) => [name, new QueueView(name, { store, principal, root })]));
  }
}

async function audited({ method, route }: ApiRoute, call: BoardCall, res: Response): Promise<BoardAnswer> {
  const { handle, action } = ruleOf(method, route);
  const { params } = call.request;
  const what = { action, target: targetOf(params) };
  try {
    const answer: BoardAnswer = handle ? (denied(method, route, call) ?? (await handle(call))) : await leaveToBullBoard(call);
    const problem = answer.status >= 400 ? problemOfAnswer(answer.status, answer.body as object, null) : null;
    await audit(res, { ...what, outcome: problem ? { denied: String(problem['code']) } : { allowed: answer.outcome ?? 'done' } });
    return answer;
  } catch (error) {
    await audit(res, { ...what, outcome: { denied: isFleetError(error) ? error.code : 'INTERNAL_ERROR' } });
    throw error;
  }
}

/** What Bull Board would make of the guard's word; it asks by itself where the handler is its own. */
function denied(method: ApiRoute['method'], route: string, { request }: BoardCall): BoardAnswer | null {
  const result = guard({ method, route, request });
  if (!result || result.allow) return null;
  return { status: result.status ?? 403, body: { error: { key: result.errorKey }, message: result.message } };
}

async function leaveToBullBoard(call: BoardCall): Promise<BoardAnswer> {
  const { status = 200, body } = await call.proceed();
  return { status, body };
}

function targetOf({ queueName, jobId, schedulerId }: Readonly<Record<string, unknown>>): string | null {
  const parts = [queueName, jobId ?? schedulerId].filter((part) => typeof part === 'string');
  return parts.length === 0 ? null : parts.join(' ');
}

function send(res: Response, { status = 200, body }: Pick<BoardAnswer, 'body'> & { readonly status?: number }): void {
  if (status === 204) res.writeHead(204, { 'Cache-Control': 'no-store' }).end();
  else if (status < 400) sendJson(res, body, { status });
  else sendJson(res, problemOfAnswer(status, body as object, requestIdOf(res)), { status, type: 'application/problem+json' });
}
