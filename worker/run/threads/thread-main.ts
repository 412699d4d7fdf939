import type { MessagePort } from 'node:worker_threads';
import { failureOf } from '../../../shared/attempt/failure.js';
import { askedRetry } from '../../../shared/attempt/retry-after.js';
import { FleetError } from '../../../shared/errors.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { TaskContext } from '../../../shared/task/handler.js';
import { hasCodec } from '../../../shared/task/payload/payload-schema.js';
import { encodeOutput, validate } from '../../../shared/task/payload/payload.js';
import type { ThreadContext, ThreadTrace } from '../../../shared/tracing/telemetry.js';
import { loadTaskModule } from '../../task-modules.js';
import { checkCost, checkProgress } from '../context.js';
import { isFinal, thrownBy } from '../outcome.js';
import { chunkJsons, progressJson, resultJson } from '../output.js';
import { ThreadEnqueuer } from './enqueue.js';
import { type MainMessage, type ThreadMessage, type ThreadResult, type ThreadRun, causeOf } from './messages.js';
import { LogFlow, threadLogger } from './thread-log.js';

/** Runs one isolated handler, called by piscina in the thread. The context works as in the main thread. */
export default async function runInThread(run: ThreadRun): Promise<ThreadResult> {
  const { port, name, moduleUrl } = run;
  const controller = new AbortController();
  const enqueuer = new ThreadEnqueuer(port, run.settings.maxInputBytes, run.item);
  port.on('message', (message: MainMessage) => {
    if (message.type === 'abort') controller.abort(causeOf(message.cause));
    else if (message.type === 'ping') post(port, { type: 'pong' });
    else enqueuer.receive(message);
  });
  let except: readonly string[] = [];
  try {
    const handler = (await loadTaskModule(moduleUrl, run.settings)).find(({ definition }) => definition.name === name);
    if (!handler) throw new Error(`${moduleUrl} has no handler for ${name} in this thread`);
    ({ except } = handler.definition.retry);
    post(port, { type: 'started' });
    const call = (): unknown => handler.handle(contextOf(run, handler.definition, controller.signal, enqueuer));
    const result = await (run.trace ? callInTrace(run.trace, enqueuer, call) : call());
    const { output } = handler.definition;
    const encoded = output === null ? result : encodeOutput('output', name, output, result);
    // As JSON, so that results have the same limits as in the main thread.
    return { ok: true, value: JSON.parse(resultJson(name, encoded, run.settings.maxResultBytes)) as unknown };
  } catch (error) {
    return { ok: false, failure: failureOf(thrownBy(error)), final: isFinal(error, except), asked: askedRetry(error) };
  } finally {
    port.close();
  }
}

/** Calls the handler in the context of its attempt, so that its spans and children are in the trace. */
async function callInTrace({ module, carrier }: ThreadTrace, enqueuer: ThreadEnqueuer, call: () => unknown): Promise<unknown> {
  const context = (await import(module)) as ThreadContext;
  enqueuer.carrier = () => context.activeCarrier();
  return context.withCarrier(carrier, call);
}

function post(port: MessagePort, message: ThreadMessage): void {
  port.postMessage(message);
}

function contextOf(
  { id, name, item, attempt, data, port, log }: ThreadRun,
  { input: schema, chunk }: AnyDefinition,
  signal: AbortSignal,
  { enqueue }: ThreadEnqueuer,
): TaskContext {
  const input = validate(schema, data);
  // The main thread has parsed it before.
  if (!input.ok) throw new FleetError('INVALID_INPUT', `Bad input for ${name}: ${input.problem}`);
  return {
    ...{ id, name, item, attempt, input: input.value, signal, enqueue },
    log: threadLogger(port, new LogFlow(log.shared), log.level),
    progress: (value) => post(port, { type: 'progress', value: JSON.parse(progressJson(checkProgress(value))) as number | object }),
    // As JSON, so that chunks have the same limits as in the main thread.
    emit: (emitted) => {
      const encoded = chunk === null ? emitted : encodeOutput('chunk', name, chunk, emitted);
      for (const json of chunkJsons(encoded, chunk !== null && hasCodec(chunk)))
        post(port, { type: 'emit', chunk: JSON.parse(json) as unknown });
    },
    spend: (cost) => post(port, { type: 'spend', cost: checkCost(cost) }),
  };
}
