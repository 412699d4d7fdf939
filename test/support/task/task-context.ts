import { pino } from 'pino';
import type { TaskDefinition } from '../../../shared/task/definition.js';
import type { Json, TaskContext, TaskHandler } from '../../../shared/task/handler.js';

export interface FakeContextOptions {
  /** Default 1. */
  readonly attempt?: number;
  /** Called after each chunk, for example to stop the task in the middle. */
  readonly onEmit?: (chunk: Json) => void;
  /** Called after each progress value. */
  readonly onProgress?: (value: number | Readonly<Record<string, Json>>) => void;
}

/** A task context without a worker. */
export interface FakeContext<Parsed> {
  readonly context: TaskContext<Parsed>;
  readonly emitted: Json[];
  readonly progress: (number | Readonly<Record<string, Json>>)[];
  /** The costs given to `spend`. */
  readonly spent: number[];
  /** Aborts the context's signal. */
  abort(reason: unknown): void;
}

/** Makes a context for a handler under test. The input is parsed as by the worker, with defaults. */
export function createFakeContext<Input, Output, Parsed>(
  definition: TaskDefinition<Input, Output, Parsed>,
  input: Input,
  { attempt = 1, onEmit, onProgress }: FakeContextOptions = {},
): FakeContext<Parsed> {
  const controller = new AbortController();
  const emitted: FakeContext<Parsed>['emitted'] = [];
  const progress: FakeContext<Parsed>['progress'] = [];
  const spent: number[] = [];
  return {
    emitted,
    progress,
    spent,
    abort: (reason) => controller.abort(reason),
    context: {
      id: 'test-task',
      name: definition.name,
      item: null,
      attempt,
      input: definition.input.parse(input),
      signal: controller.signal,
      log: pino({ level: 'silent' }),
      progress(value) {
        progress.push(value);
        onProgress?.(value);
      },
      emit(chunk) {
        emitted.push(chunk);
        onEmit?.(chunk);
      },
      spend: (cost) => void spent.push(cost),
      enqueue: () => Promise.reject(new Error('This context has no worker to enqueue with')),
    },
  };
}

/**
 * Runs a handler as a worker does: the output passes through JSON and the output schema. Returns a promise even if the handler
 * throws synchronously.
 */
export async function runHandler<Input, Output, Parsed>(
  definition: TaskDefinition<Input, Output, Parsed>,
  handler: TaskHandler,
  { context }: FakeContext<Parsed>,
): Promise<Output> {
  const output = await handler.handle(context);
  const json = JSON.parse(JSON.stringify(output)) as unknown;
  return definition.output === null ? (json as Output) : definition.output.parse(json);
}
