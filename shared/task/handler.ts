import type { Logger } from 'pino';
import { FleetError } from '../errors.js';
import type { Settings } from '../settings.js';
import type { StopRecord } from '../stop/record.js';
import type { AnyDefinition, TaskDefinition } from './definition.js';
import type { JobAddress } from './options-record.js';

/** Anything that JSON can hold. What is not (functions, dates …) is converted as `JSON.stringify` does. */
export type Json = unknown;

/** What a handler gets. The same for handlers in the worker's own thread and for isolated ones. */
export interface TaskContext<Input = unknown> {
  readonly id: string;
  readonly name: string;
  /** The item that the task belongs to, null for none. */
  readonly item: string | null;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Validated against the definition's schema. */
  readonly input: Input;
  /** Aborted with a cause: `StopRequested`, `TimedOut`, `ShuttingDown` or `LockLost`. Pass it on to whatever waits. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /**
   * Says how far the task is: a percentage from 0 to 100, or any JSON object (`{ done, total }` is shown as a bar).
   * Cheap to call often: what comes faster than it can be written replaces what is waiting.
   */
  readonly progress: (value: number | Readonly<Record<string, Json>>) => void;
  /** Adds a chunk to the task's output. Batched; kept in order; stays readable after a stop. */
  readonly emit: (chunk: Json) => void;
  /**
   * Enqueues a task that belongs to this one: it has the same item, and a stop of this task or of the item stops it too,
   * also one that comes in the same instant. Rejects with the abort's cause once this task was aborted, and as the
   * producer's `enqueue` does. An attempt that is retried enqueues again: give an `id` to make that harmless.
   */
  readonly enqueue: EnqueueChild;
}

/** What may be said of a task that a handler enqueues; as in the producer's `enqueue`. */
export interface ChildOptions {
  readonly id?: string | undefined;
  readonly delay?: number | undefined;
  readonly priority?: number | undefined;
  readonly deadline?: Date | undefined;
}

export type EnqueueChild = <Input, Output>(
  definition: TaskDefinition<Input, Output, unknown>,
  input: Input,
  options?: ChildOptions,
) => Promise<ChildTask>;

/** A task that a handler enqueued. */
export interface ChildTask {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly item: string | null;
  /** True if a task with this id existed already, and nothing was added. */
  readonly duplicate: boolean;
}

/** The task whose handler enqueues. */
export interface ParentTask extends JobAddress {
  /** `''` for none. */
  readonly item: string;
  /** The stop that its run has heard of: a task that is not kept after its end has no other record. */
  readonly stop?: Pick<StopRecord, 'reason' | 'by'> | null;
}

/** What a worker needs of a producer, so that its handlers can enqueue. */
export interface ChildEnqueuer {
  enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options: ChildOptions): Promise<ChildTask>;
}

/** A worker's part of a task. What it returns is the task's result, and must be JSON. */
export type Handle<Input, Output> = (context: TaskContext<Input>) => Promise<Output> | Output;

export interface TaskHandler {
  readonly definition: AnyDefinition;
  readonly handle: Handle<unknown, unknown>;
  /** Whether this input is to be run in a thread of its own, which can be ended from outside. */
  isolated(input: unknown): boolean;
  /** True if every input is isolated, so that more slots than threads would only wait. */
  readonly alwaysIsolated: boolean;
}

export interface HandlerOptions<Parsed> {
  /**
   * Run in a worker thread: for CPU-bound code, which would otherwise hold up every other task of the process and could
   * not be stopped. Or a function that decides for each input. Default false.
   */
  readonly isolate?: boolean | ((input: Parsed) => boolean);
}

/**
 * Joins a definition with the function that does the work.
 * @throws FleetError `INVALID_DEFINITION`
 */
export function defineHandler<Input, Output, Parsed>(
  definition: TaskDefinition<Input, Output, Parsed>,
  handle: Handle<Parsed, Output>,
  options: HandlerOptions<Parsed> = {},
): TaskHandler {
  if (typeof definition?.name !== 'string' || typeof definition.input?.safeParse !== 'function') {
    throw new FleetError('INVALID_DEFINITION', 'defineHandler: expected a definition from defineTask as first argument.');
  }
  if (typeof handle !== 'function') {
    throw new FleetError('INVALID_DEFINITION', `defineHandler("${definition.name}"): expected a function as second argument.`);
  }
  const isolate: unknown = (options as HandlerOptions<Parsed> | null)?.isolate ?? false;
  if (typeof options !== 'object' || options === null || (typeof isolate !== 'boolean' && typeof isolate !== 'function')) {
    throw new FleetError(
      'INVALID_DEFINITION',
      `defineHandler("${definition.name}"): expected as third argument { isolate: true, false or a function }.`,
    );
  }
  return Object.freeze({
    definition,
    handle: handle as Handle<unknown, unknown>,
    isolated: typeof isolate === 'function' ? (isolate as (input: unknown) => boolean) : () => isolate,
    alwaysIsolated: isolate === true,
  });
}

/**
 * The default export of a task module: handlers, or a function that makes them from the fleet's settings.
 * The built-in tasks come through the same door.
 */
export type TaskModule = readonly TaskHandler[] | ((settings: Settings) => readonly TaskHandler[]);
