import type { MessagePort } from 'node:worker_threads';
import { pino } from 'pino';
import { messageOf } from '../../../shared/errors.js';
import { ERROR_SERIALIZERS } from '../../../shared/logger.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { TaskContext } from '../../../shared/task/handler.js';
import { loadTaskModule } from '../../task-modules.js';
import { checkProgress } from '../context.js';
import { isFinal } from '../outcome.js';
import { chunkJsons, progressJson, resultJson } from '../output.js';
import { ThreadEnqueuer } from './enqueue.js';
import { type MainMessage, type ThreadMessage, type ThreadResult, type ThreadRun, causeOf } from './messages.js';

/** Runs one isolated handler, called by piscina in the thread. The context works as in the main thread. */
export default async function runInThread(run: ThreadRun): Promise<ThreadResult> {
  const { port, name, moduleUrl } = run;
  const controller = new AbortController();
  const enqueuer = new ThreadEnqueuer(port, run.settings.maxInputBytes);
  port.on('message', (message: MainMessage) => {
    if (message.type === 'abort') controller.abort(causeOf(message.cause));
    else enqueuer.receive(message);
  });
  let except: readonly string[] = [];
  try {
    const handler = (await loadTaskModule(moduleUrl, run.settings)).find(({ definition }) => definition.name === name);
    if (!handler) throw new Error(`${moduleUrl} has no handler for ${name} in this thread`);
    ({ except } = handler.definition.retry);
    post(port, { type: 'started' });
    // As JSON, so that results have the same limits as in the main thread.
    return {
      ok: true,
      value: JSON.parse(
        resultJson(name, await handler.handle(contextOf(run, controller.signal, enqueuer)), run.settings.maxResultBytes),
      ) as unknown,
    };
  } catch (error) {
    const { name: kind, stack } = error instanceof Error ? error : new Error(messageOf(error));
    return { ok: false, error: { name: kind, message: messageOf(error), stack, final: isFinal(error, except) } };
  } finally {
    port.close();
  }
}

function post(port: MessagePort, message: ThreadMessage): void {
  port.postMessage(message);
}

function contextOf({ id, name, item, attempt, input, port }: ThreadRun, signal: AbortSignal, { enqueue }: ThreadEnqueuer): TaskContext {
  return {
    ...{ id, name, item, attempt, input, signal, enqueue },
    log: portLogger(port),
    progress: (value) => post(port, { type: 'progress', value: JSON.parse(progressJson(checkProgress(value))) as number | object }),
    // As JSON, so that chunks have the same limits as in the main thread.
    emit: (chunk) => chunkJsons(chunk).forEach((json) => post(port, { type: 'emit', chunk: JSON.parse(json) as unknown })),
  };
}

/** Creates a logger whose lines the main thread writes, with its levels and the task's fields. */
function portLogger(port: MessagePort): pino.Logger {
  const write = (line: string): void => {
    const { level, msg, time: _time, ...fields } = JSON.parse(line) as Record<string, unknown>;
    post(port, { type: 'log', level: level as LogLevel, fields, message: typeof msg === 'string' ? msg : '' });
  };
  return pino({ base: null, level: 'trace', serializers: ERROR_SERIALIZERS, formatters: { level: (level) => ({ level }) } }, { write });
}
