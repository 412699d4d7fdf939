import { z } from 'zod';
import { FleetError } from '../errors.js';
import { isName, quote } from '../keys.js';
import {
  type ConcurrencyLimit,
  type ConcurrencyOptions,
  type FairOptions,
  type FairPolicy,
  type RateLimit,
  type RateOptions,
  type WhenBusy,
  concurrencySchema,
  fairSchema,
  problemOfWhenBusy,
  rateSchema,
  whenBusySchema,
} from '../limiter/policy.js';
import { MAX_SHARDS } from '../limits.js';
import { type DedupePolicy, type DedupePolicyOptions, dedupeSchema } from './dedupe.js';
import { problemOfInput, problemOfOutput } from './payload/payload-schema.js';
import {
  type RetentionOptions,
  type RetentionPolicy,
  type RetryPolicy,
  type WorkerLossPolicy,
  retentionSchema,
  retrySchema,
  workerLossSchema,
} from './policies.js';
import { problemOfQueue } from './shards.js';
import { type TagPolicy, tagsSchema } from './tags.js';

/**
 * The contract between producers and workers: name, queue, schemas of input and output, and retries. Producers need only this;
 * the worker adds a handler.
 */
export interface TaskDefinition<Input = unknown, Output = unknown, Parsed = Input, Chunk = unknown> {
  readonly name: string;
  /** The logical queue: see `shards`. */
  readonly queue: string;
  /** Number of BullMQ queues that share the tasks: `shardsOf` returns their names. */
  readonly shards: number;
  /** Parses the enqueued value (`Input`, stored as given) into the handler's (`Parsed`, with defaults filled in and codecs decoded). */
  readonly input: z.ZodType<Parsed, Input>;
  /** Checks and encodes the handler's result, and decodes it for readers; null if the output, which is always JSON, is not checked. */
  readonly output: z.ZodType<Output> | null;
  /** Checks each chunk that the handler emits; null if chunks, which are always JSON, are not checked. */
  readonly chunk: z.ZodType<Chunk> | null;
  readonly retry: RetryPolicy;
  readonly onWorkerLost: WorkerLossPolicy;
  /** Longest run of one attempt in ms, null for no limit. */
  readonly timeoutMs: number | null;
  /** Whether a timed-out attempt may be retried. Default false. */
  readonly retryOnTimeout: boolean;
  /** Latest start of an attempt, in ms from when the task may first start; null for no limit. */
  readonly deadlineMs: number | null;
  readonly retention: RetentionPolicy;
  /** Limits on the tasks that run at once; empty for none. */
  readonly concurrency: readonly ConcurrencyLimit[];
  /** Limits on the starts in a period; empty for none. */
  readonly rate: readonly RateLimit[];
  /** The deduplication of enqueues without one of their own; null for none. */
  readonly dedupe: DedupePolicy | null;
  /** Null if the tasks start in the order of the queue. */
  readonly fair: FairPolicy | null;
  /** Null for the default: tasks of a busy key wait. */
  readonly whenBusy: WhenBusy | null;
  /** Null for none. */
  readonly tags: TagPolicy | null;
}

/** A definition with any input, output and chunks, for lists and maps. */
// oxlint-disable-next-line typescript/no-explicit-any -- the only type to which every definition can be assigned
export type AnyDefinition = TaskDefinition<any, any, any, any>;

export interface TaskOptions<Input, Output, Parsed = Input, Chunk = unknown> {
  /** Unique in the fleet: up to 64 letters, digits and `. _ -`. By convention `noun.verb`. */
  readonly name: string;
  /** Default: the name up to its first dot, so that tasks of one noun share workers and order. */
  readonly queue?: string;
  /**
   * Number of BullMQ queues that the tasks are spread over by id, for load beyond one cluster node: `chat`, `chat.shard-1`, … Order
   * holds within each shard, and workers take all shards. Default 1, 1 to 64; more than one requires a queue name of up to 55
   * characters.
   */
  readonly shards?: number;
  /** What it accepts must be JSON: `z.iso.datetime()` or a `z.codec` instead of `z.date()`. */
  readonly input: z.ZodType<Parsed, Input>;
  /**
   * The schema of the handler's result. A `z.codec` is encoded by the worker and decoded by `result`: from a date to its text and back. Like
   * the input, what it is stored as must be JSON.
   */
  readonly output?: z.ZodType<Output>;
  /** The schema of the chunks that the handler emits, which `events(definition, id)` then returns typed. Default: any JSON. */
  readonly chunk?: z.ZodType<Chunk>;
  readonly retry?: { readonly attempts?: number; readonly backoff?: Partial<RetryPolicy['backoff']>; readonly except?: readonly string[] };
  /** How often the task runs again after its worker died or was lost. Default `{ retries: 3 }`; 0 runs it at most once. */
  readonly onWorkerLost?: Partial<WorkerLossPolicy>;
  /** Longest run of one attempt in ms, 1 to 2,147,483,647 (24 days). Default: no limit. */
  readonly timeoutMs?: number;
  readonly retryOnTimeout?: boolean;
  /**
   * Latest start of an attempt, in ms from the enqueue or, with a delay, from its end. A task not started by then fails. 1 ms to ten
   * years. Default: no limit.
   */
  readonly deadlineMs?: number;
  /**
   * Retention of ended tasks, by age and count for each kind. Default: completed tasks for an hour, at most 1,000; failed ones for a
   * week, at most 5,000; cancelled ones for a day, at most 1,000.
   */
  readonly retention?: RetentionOptions;
  /**
   * Limits on the tasks that run at once, in the whole fleet: one, or a list of up to 8, which all hold. With `by`, the limit is for each
   * key. A task that may not start yet waits without taking a slot. Default: no limit.
   */
  readonly concurrency?: ConcurrencyOptions<NoInfer<Parsed>> | readonly ConcurrencyOptions<NoInfer<Parsed>>[];
  /** Limits on the starts, or their cost, in a period: one, or a list of up to 8, which all hold. Default: no limit. */
  readonly rate?: RateOptions<NoInfer<Parsed>> | readonly RateOptions<NoInfer<Parsed>>[];
  /** Shares the slots of the queue among keys, so that a key with many tasks does not delay the others. Default: the queue's order. */
  readonly fair?: FairOptions<NoInfer<Parsed>>;
  /**
   * Default policy of an enqueue whose key, or without `concurrency` whose item, is busy: see `whenBusy` of the enqueue's options.
   * Default: the task waits, or, without `concurrency`, runs beside the others.
   */
  readonly whenBusy?: WhenBusy;
  /** Deduplicates enqueues without a `dedupe` of their own. Scheduled tasks take no part. Default: none. */
  readonly dedupe?: DedupePolicyOptions<NoInfer<Parsed>>;
  /**
   * Tags of every task, or a function that returns a task's tags, beside those of the enqueue and of the parent task: labels for filters,
   * such as `tenant:7`. Default: none.
   */
  readonly tags?: TagPolicy<NoInfer<Parsed>>;
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2_147_483_647;
const DAY_MS = 86_400_000;

const optionsSchema = z.strictObject({
  name: z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)'),
  queue: z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)').optional(),
  shards: z.int().min(1).max(MAX_SHARDS).default(1),
  input: z.custom<z.ZodType>(isSchema, 'expected a zod schema'),
  output: z.custom<z.ZodType>(isSchema, 'expected a zod schema').optional(),
  chunk: z.custom<z.ZodType>(isSchema, 'expected a zod schema').optional(),
  retry: retrySchema,
  onWorkerLost: workerLossSchema,
  timeoutMs: z.int().min(1).max(LONGEST_TIMER_MS).optional(),
  retryOnTimeout: z.boolean().default(false),
  deadlineMs: z
    .int()
    .min(1)
    .max(10 * 365 * DAY_MS)
    .optional(),
  retention: retentionSchema,
  concurrency: concurrencySchema,
  rate: rateSchema,
  fair: fairSchema,
  whenBusy: whenBusySchema,
  dedupe: dedupeSchema,
  tags: tagsSchema,
});

function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'safeParse' in value && typeof value.safeParse === 'function';
}

/**
 * Defines a task.
 * @throws FleetError `INVALID_DEFINITION`, naming each wrong field
 */
export function defineTask<Input, Output = unknown, Parsed = Input, Chunk = unknown>(
  options: TaskOptions<Input, Output, Parsed, Chunk>,
): TaskDefinition<Input, Output, Parsed, Chunk> {
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    const name = typeof options?.name === 'string' ? ` "${options.name.slice(0, 64)}"` : '';
    throw new FleetError('INVALID_DEFINITION', `Bad task definition${name}: ${issuesOf(parsed.error)}.`);
  }
  const { queue: given, output: _output, chunk: _chunk, timeoutMs, deadlineMs, fair, whenBusy, dedupe, tags, ...rest } = parsed.data;
  const queue = given ?? rest.name.split('.')[0] ?? rest.name;
  refuse(rest.name, 'queue', problemOfQueue({ queue, shards: rest.shards }));
  if (whenBusy) refuse(rest.name, 'whenBusy', problemOfWhenBusy(whenBusy, rest.concurrency));
  refuse(rest.name, 'input', problemOfInput(options.input));
  if (options.output) refuse(rest.name, 'output', problemOfOutput(options.output));
  if (options.chunk) refuse(rest.name, 'chunk', problemOfOutput(options.chunk));
  return Object.freeze({
    ...rest,
    queue,
    input: options.input,
    output: options.output ?? null,
    chunk: options.chunk ?? null,
    timeoutMs: timeoutMs ?? null,
    deadlineMs: deadlineMs ?? null,
    fair: fair ?? null,
    whenBusy: whenBusy ?? null,
    dedupe: dedupe ?? null,
    tags: tags ?? null,
  });
}

function refuse(name: string, field: string, problem: string | null): void {
  if (problem !== null) throw new FleetError('INVALID_DEFINITION', `Bad task definition ${quote(name)}: ${field}: ${problem}.`);
}

/** Formats the issues of a failed parse in one line: `messages.0.role: Invalid option: …; model: Required`. */
export function issuesOf(error: z.ZodError): string {
  return error.issues
    .slice(0, 10)
    .map((issue) => (issue.path.length > 0 ? `${issue.path.join('.')}: ${issue.message}` : issue.message))
    .join('; ');
}

/** An input may have a hundred thousand wrong fields. */
const MOST_FIELDS = 100;

/** Returns the first wrong fields of a failed parse, each with its path under `root`; unrecognized keys count as fields. */
export function fieldErrorsOf(error: z.ZodError, root?: string): { readonly field: string; readonly message: string }[] {
  const start = root === undefined ? [] : [root];
  return error.issues.slice(0, MOST_FIELDS).flatMap((issue) => {
    const paths = issue.code === 'unrecognized_keys' ? issue.keys.slice(0, MOST_FIELDS).map((key) => [...issue.path, key]) : [issue.path];
    const message = issue.code === 'unrecognized_keys' ? 'Unrecognized key' : issue.message;
    return paths.map((path) => ({ field: [...start, ...path].join('.'), message }));
  });
}
