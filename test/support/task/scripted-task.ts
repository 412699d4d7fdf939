import { z } from 'zod';
import type { AbortCause } from '../../../shared/stop/cause.js';
import { type TaskDefinition, type TaskOptions, defineTask } from '../../../shared/task/definition.js';
import { type TaskContext, type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type Deferred, deferred } from '../deferred.js';
import { KEEP } from './keep.js';

/** One handler call of a scripted task: it waits until the test settles it. */
export interface HandlerCall {
  readonly context: TaskContext;
  /** Resolves with the cause when the handler's signal is aborted. */
  readonly aborted: Promise<AbortCause>;
  readonly returns: (value?: unknown) => void;
  readonly throws: (error: unknown) => void;
}

/** A task whose handler is controlled by the test. */
export class ScriptedTask {
  readonly definition: TaskDefinition;
  readonly handler: TaskHandler;
  readonly calls: HandlerCall[] = [];
  readonly #awaited: Deferred<HandlerCall>[] = [];

  /** Defaults: one attempt, any input, ended tasks are kept. */
  constructor(name: string, options: Partial<TaskOptions<unknown, unknown>> = {}) {
    this.definition = defineTask({ name, input: z.unknown(), retention: KEEP, ...options });
    this.handler = defineHandler(this.definition, (context) => this.#play(context));
  }

  /** Resolves with the handler's call number `index`, past or future. */
  call(index = 0): Promise<HandlerCall> {
    return this.#place(index).promise;
  }

  #play(context: TaskContext): Promise<unknown> {
    const end = deferred<unknown>();
    const aborted = deferred<AbortCause>();
    const { signal } = context;
    signal.addEventListener('abort', () => aborted.resolve(signal.reason as AbortCause));
    const call = { context, aborted: aborted.promise, returns: end.resolve, throws: end.reject };
    this.#place(this.calls.length).resolve(call);
    this.calls.push(call);
    return end.promise;
  }

  #place(index: number): Deferred<HandlerCall> {
    return (this.#awaited[index] ??= deferred<HandlerCall>());
  }
}
