import type { Logger } from 'pino';
import { FleetError } from '../errors.js';
import { type RateLimit, type RateOptions, rateSchema } from '../limiter/policy.js';
import type { Settings } from '../settings/settings.js';
import type { StopRecord } from '../stop/receipt.js';
import type { Carrier } from '../tracing/carrier.js';
import type { DedupeOptions } from './dedupe.js';
import { type AnyDefinition, type TaskDefinition, issuesOf } from './definition.js';
import type { JobAddress } from './job-options.js';

/** Any JSON value. Other values (functions, dates …) are converted as by `JSON.stringify`. */
export type Json = unknown;

/** The argument of a handler, the same in the main thread and in isolation. */
export interface TaskContext<Input = unknown, Chunk = Json> {
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
  /** Logs to the worker's output and, from TASK_LOG_LEVEL_KEPT on, to the task's own log, which the producer's `logs` reads. */
  readonly log: Logger;
  /**
   * Reports progress: a percentage from 0 to 100, or any JSON object (`{ done, total }` is shown as a bar). Cheap to call often: a
   * newer value replaces one that is not yet written.
   */
  readonly progress: (value: number | Readonly<Record<string, Json>>) => void;
  /**
   * Adds a chunk to the task's output. Chunks are batched, stay in order, and remain readable after a stop. A chunk that does not match
   * the definition's schema throws `INVALID_OUTPUT`.
   */
  readonly emit: (chunk: Chunk) => void;
  /**
   * Corrects the cost of this attempt: `cost` is its real cost so far, in the unit of the definition's rates with a `cost`, for example
   * tokens. The difference to the estimate goes to the buckets of these rates. A later call replaces the cost; without a call, the
   * estimate stands. Does nothing for a task without such a rate. Throws a TypeError unless the cost is a number from 0.
   */
  readonly spend: (cost: number) => void;
  /**
   * Enqueues a child of this task: it has the same item and tags, and a stop of this task or of the item stops it too, even a concurrent stop.
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
  /** Tags beside those of the parent, which the child has too. */
  readonly tags?: readonly string[] | undefined;
  /** A task that stands for the key may be the child of another task. The mode `debounce` is refused. */
  readonly dedupe?: DedupeOptions | null | undefined;
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
  /** True if a task with this id existed or stood for the deduplication key, and none was added. */
  readonly duplicate: boolean;
}

/** The task whose handler enqueues a child. */
export interface ParentTask extends JobAddress {
  /** `''` for none. */
  readonly item: string;
  /** Tags that the children inherit. Default: none. */
  readonly tags?: readonly string[];
  /** The stop that the run received: a task without retention has no other record of it. */
  readonly stop?: Pick<StopRecord, 'reason' | 'by'> | null;
  /** The limited tasks from this one up, nearest first: see `ancestorsOf`. */
  readonly ancestors?: readonly string[];
  /** The span of the attempt; null or absent without telemetry. */
  readonly span?: { readonly carrier: Carrier | undefined } | null;
}

/** The part of a producer that a worker needs for its handlers to enqueue. */
export interface ChildEnqueuer {
  enqueueChild(parent: ParentTask, definition: AnyDefinition, input: unknown, options: ChildOptions): Promise<ChildTask>;
}

/** The function that runs a task. Returns the task's result, which must be JSON. */
export type Handle<Input, Output, Chunk = Json> = (context: TaskContext<Input, Chunk>) => Promise<Output> | Output;

export interface TaskHandler {
  readonly definition: AnyDefinition;
  readonly handle: Handle<unknown, unknown>;
  /** Whether to run this input in a separate thread, which can be terminated. */
  isolated(input: unknown): boolean;
  /** Limits on the starts beside those of the definition. */
  readonly rate: readonly RateLimit[];
  /** True if every input is isolated, so that slots beyond the number of threads would be useless. */
  readonly alwaysIsolated: boolean;
}

/** A handler with the types of its definition. */
export interface HandlerOf<Input, Output, Parsed = Input, Chunk = Json> extends TaskHandler {
  readonly definition: TaskDefinition<Input, Output, Parsed, Chunk>;
}

export interface HandlerOptions<Parsed> {
  /**
   * Whether to run in a worker thread, or a function that decides per input. For CPU-bound code, which would otherwise block every
   * other task of the process and could not be stopped. Default false.
   */
  readonly isolate?: boolean | ((input: Parsed) => boolean);
  /**
   * Limits on the starts beside those of the definition, for keys that only workers know, such as the server that their settings name: one,
   * or a list of up to 8, which all hold. A worker computes key and cost once it has fetched the task, wherever it was enqueued; a task over
   * its rate goes back and waits. Default: none.
   */
  readonly rate?: HandlerRate<Parsed> | readonly HandlerRate<Parsed>[];
}

/** A rate of a handler. It needs a group, which names it. */
export type HandlerRate<Parsed = unknown> = RateOptions<Parsed> & { readonly group: string };

const handlerRateSchema = rateSchema.refine((rates) => rates.every(({ group }) => group !== null), 'expected a group');

/**
 * Joins a definition with the function that runs it.
 * @throws FleetError `INVALID_DEFINITION`
 */
export function defineHandler<Input, Output, Parsed, Chunk>(
  definition: TaskDefinition<Input, Output, Parsed, Chunk>,
  handle: Handle<Parsed, Output, Chunk>,
  options: HandlerOptions<NoInfer<Parsed>> = {},
): HandlerOf<Input, Output, Parsed, Chunk> {
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
  const rate = handlerRateSchema.safeParse((options as HandlerOptions<Parsed>).rate);
  if (!rate.success) throw new FleetError('INVALID_DEFINITION', `defineHandler("${definition.name}"): rate: ${issuesOf(rate.error)}.`);
  return Object.freeze({
    definition,
    handle: handle as Handle<unknown, unknown>,
    isolated: typeof isolate === 'function' ? (isolate as (input: unknown) => boolean) : () => isolate,
    rate: rate.data,
    alwaysIsolated: isolate === true,
  });
}

/**
 * The default export of a task module: handlers, or a function that makes them from the fleet's settings. Built-in tasks are loaded the
 * same way.
 */
export type TaskModule = readonly TaskHandler[] | ((settings: Settings) => readonly TaskHandler[]);
