import type { MessagePort } from 'node:worker_threads';
import { z } from 'zod';
import { FleetError, isFleetError, messageOf } from '../../../shared/errors.js';
import { AbortCause } from '../../../shared/stop/cause.js';
import { type AnyDefinition, checkInput } from '../../../shared/task/definition.js';
import type { ChildTask, EnqueueChild, TaskContext } from '../../../shared/task/handler.js';
import { type EnqueueResult, type MainMessage, type ThreadMessage, causeOf, partsOf } from './messages.js';

/** `context.enqueue` inside a thread: the input is validated here, where its schema is; the main thread has the producer. */
export class ThreadEnqueuer {
  readonly #pending = new Map<number, { resolve(task: ChildTask): void; reject(error: unknown): void }>();
  #calls = 0;

  constructor(
    private readonly port: MessagePort,
    private readonly maxInputBytes: number,
  ) {}

  readonly enqueue: EnqueueChild = async (definition, given, options = {}) => {
    const { input: _input, output: _output, ...portable } = definition as AnyDefinition;
    const input = JSON.parse(checkInput(definition as AnyDefinition, given, this.maxInputBytes)) as unknown;
    const call = (this.#calls += 1);
    return new Promise<ChildTask>((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      this.port.postMessage({ type: 'enqueue', call, definition: portable, input, options } satisfies ThreadMessage);
    });
  };

  receive({ call, ...result }: Extract<MainMessage, { type: 'enqueued' }>): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (result.ok) return pending?.resolve(result.task);
    const { code, message, details, cause } = result.error;
    if (cause) pending?.reject(causeOf(cause));
    else pending?.reject(code === null ? new Error(message) : new FleetError(code, message, { details }));
  }
}

/** Enqueues a child task for a thread, in the main thread. Never rejects. */
export async function enqueueForThread(
  context: TaskContext,
  { definition, input, options }: Extract<ThreadMessage, { type: 'enqueue' }>,
): Promise<EnqueueResult> {
  try {
    return { ok: true, task: await context.enqueue({ ...definition, input: z.unknown(), output: null }, input, options) };
  } catch (error) {
    const known = isFleetError(error) ? error : null;
    const cause = error instanceof AbortCause ? partsOf(error) : null;
    return { ok: false, error: { code: known?.code ?? null, message: messageOf(error), details: known?.details ?? {}, cause } };
  }
}
