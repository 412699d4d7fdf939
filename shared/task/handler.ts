import type { Logger } from 'pino';
import { FleetError } from '../errors.js';
import type { Settings } from '../settings/settings.js';
import type { StopRecord } from '../stop/receipt.js';
import type { AnyDefinition, TaskDefinition } from './definition.js';
import type { JobAddress } from './job-options.js';

/** Any JSON value. Other values (functions, dates …) are converted as by `JSON.stringify`. */
export type Json = unknown;

/** The argument of a handler, the same in the main thread and in isolation. */
export interface TaskContext<Input = unknown> {
  readonly id: string;
  readonly name: string;
  /** The task's item, null for none. */
  readonly item: string | null;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Validated against the definition's schema. */
  readonly input: Input;
  /** Aborted with a cause: `StopRequested`, `TimedOut`, `ShuttingDown` or `LockLost`. Pass it to every call that waits. */
  readonly signal: AbortSignal;
  readonly log: Logger;
  /**
   * Reports progress: a percentage from 0 to 100, or any JSON object (`{ done, total }` is shown as a bar). Cheap to call often: a
   * newer value replaces one that is not yet written.
   */
  readonly progress: (value: number | Readonly<Record<string, Json>>) => void;
  /** Adds a chunk to the task's output. Chunks are batched, stay in order, and remain readable after a stop. */
  readonly emit: (chunk: Json) => void;
  /**
   * Enqueues a child of this task: it has the same item, and a stop of this task or of the item stops it too, even a concurrent stop.
   * Rejects like the producer's `enqueue`, and with the abort's cause once this task is aborted. A retry enqueues again: pass an `id`
   * to avoid a duplicate.
   */
  readonly enqueue: EnqueueChild;
}

/** Options of a child task, as in the producer's `enqueue`. */
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
  /** True if a task with this id already existed, and none was added. */
  readonly duplicate: boolean;
}

/** The task whose handler enqueues a child. */
export interface ParentTask extends JobAddress {
  /** `''` for none. */
  readonly item: string;
  /** The stop that the run received: a task without retention has no other record of it. */
  readonly stop?: Pick<StopRecord, 'reason' | 'by'> | null;
}

/** The part of a producer that a worker needs for its handlers to enqueue. */
export interface ChildEnqueuer {
  enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options: ChildOptions): Promise<ChildTask>;
}

/** The function that runs a task. Returns the task's result, which must be JSON. */
export type Handle<Input, Output> = (context: TaskContext<Input>) => Promise<Output> | Output;

export interface TaskHandler {
  readonly definition: AnyDefinition;
  readonly handle: Handle<unknown, unknown>;
  /** Whether to run this input in a separate thread, which can be terminated. */
  isolated(input: unknown): boolean;
  /** True if every input is isolated, so that slots beyond the number of threads would be useless. */
  readonly alwaysIsolated: boolean;
}

export interface HandlerOptions<Parsed> {
  /**
   * Whether to run in a worker thread, or a function that decides per input. For CPU-bound code, which would otherwise block every
   * other task of the process and could not be stopped. Default false.
   */
  readonly isolate?: boolean | ((input: Parsed) => boolean);
}

/**
 * Joins a definition with the function that runs it.
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
      `defineHandler("${definition.name}"): expected { isolate: true, false or a function } as third argument.`,
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
 * The default export of a task module: handlers, or a function that makes them from the fleet's settings. Built-in tasks are loaded the
 * same way.
 */
export type TaskModule = readonly TaskHandler[] | ((settings: Settings) => readonly TaskHandler[]);
