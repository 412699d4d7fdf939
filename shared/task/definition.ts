import { z } from 'zod';
import { FleetError, messageOf } from '../errors.js';
import { isName, quote } from '../keys.js';
import { MAX_SHARDS } from '../limits.js';
import { problemOfQueue } from './shards.js';

/** When a failed attempt is retried. */
export interface RetryPolicy {
  /** Total attempts, including the first. Default 1 (no retry), 1 to 100. */
  readonly attempts: number;
  readonly backoff: {
    /** `fixed` waits `delayMs` each time, `exponential` doubles it after each attempt. Default `exponential`. */
    readonly type: 'fixed' | 'exponential';
    /** Default 1,000 ms, up to a day. */
    readonly delayMs: number;
    /** Upper limit of the doubled delay. Default an hour, or `delayMs` if that is longer; up to a week. */
    readonly maxDelayMs: number;
    /** Random share of the delay, 0 to 1: 0.2 waits between 80 % and 100 % of it. Default 0.2. */
    readonly jitter: number;
  };
  /**
   * Errors that are never retried: each given by its `name`, the name of its class or of a base class, or its `code`. Up to 100,
   * as text, so that they can be passed to threads. Default none. An `UnrecoverableError` and failed validation are never retried.
   */
  readonly except: readonly string[];
}

/** How long ended tasks are kept, until the first limit is reached. */
export interface Retention {
  /** At least 1,000 ms; rounded up to whole seconds. */
  readonly ageMs: number;
  /** 0 keeps none. Each shard of a queue keeps its share, rounded up. */
  readonly count: number;
}

/** The retention of ended tasks. BullMQ applies it to the whole queue whenever a task of the queue ends. */
export interface RetentionPolicy {
  readonly completed: Retention;
  /** For failed and cancelled tasks. */
  readonly failed: Retention;
}

/**
 * The contract between producers and workers: name, queue, schemas of input and output, and retries. Producers need only this;
 * the worker adds a handler.
 */
export interface TaskDefinition<Input = unknown, Output = unknown, Parsed = Input> {
  readonly name: string;
  /** The logical queue: see `shards`. */
  readonly queue: string;
  /** Number of BullMQ queues that share the tasks: `shardsOf` returns their names. */
  readonly shards: number;
  /** Parses the enqueued value (`Input`, stored as given) into the handler's (`Parsed`, with defaults filled in). */
  readonly input: z.ZodType<Parsed, Input>;
  /** Null if the output, which is always JSON, is not checked. */
  readonly output: z.ZodType<Output> | null;
  readonly retry: RetryPolicy;
  /** Longest run of one attempt in ms, null for no limit. */
  readonly timeoutMs: number | null;
  /** Whether a timed-out attempt may be retried. Default false. */
  readonly retryOnTimeout: boolean;
  /** Latest start of an attempt, in ms from when the task may first start; null for no limit. */
  readonly deadlineMs: number | null;
  readonly retention: RetentionPolicy;
}

/** A definition with any input and output, for lists and maps. */
// oxlint-disable-next-line typescript/no-explicit-any -- the only type to which every definition can be assigned
export type AnyDefinition = TaskDefinition<any, any, any>;

export interface TaskOptions<Input, Output, Parsed = Input> {
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
  readonly input: z.ZodType<Parsed, Input>;
  readonly output?: z.ZodType<Output>;
  readonly retry?: { readonly attempts?: number; readonly backoff?: Partial<RetryPolicy['backoff']>; readonly except?: readonly string[] };
  /** Longest run of one attempt in ms, 1 to 2,147,483,647 (24 days). Default: no limit. */
  readonly timeoutMs?: number;
  readonly retryOnTimeout?: boolean;
  /**
   * Latest start of an attempt, in ms from the enqueue or, with a delay, from its end. A task not started by then fails. 1 ms to ten
   * years. Default: no limit.
   */
  readonly deadlineMs?: number;
  /** Retention of ended tasks, by age and count. There is no default. */
  readonly retention: RetentionPolicy;
}

const HOUR_MS = 3_600_000;
/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2_147_483_647;
const DAY_MS = 24 * HOUR_MS;
const RETENTION_EXAMPLE = '{ completed: { ageMs: 3_600_000, count: 1_000 }, failed: { ageMs: 604_800_000, count: 1_000 } }';

/** Adds a hint to the error of a missing field. */
const stated = (field: string) => ({ error: ({ input }: { input?: unknown }) => (input === undefined ? `state ${field}` : undefined) });
const limitsSchema = (state: string) =>
  z.strictObject(
    {
      ageMs: z.int(stated('for how many ms, whatever the count')).min(1_000),
      count: z.int(stated('how many, whatever their age; 0 for none')).min(0),
    },
    stated(`what is kept of ${state} tasks, for example { ageMs: 3_600_000, count: 1_000 }`),
  );

const backoffSchema = z
  .strictObject({
    type: z.enum(['fixed', 'exponential']).default('exponential'),
    delayMs: z.int().min(0).max(DAY_MS).default(1_000),
    maxDelayMs: z
      .int()
      .min(0)
      .max(7 * DAY_MS)
      .optional(),
    jitter: z.number().min(0).max(1).default(0.2),
  })
  .refine(({ delayMs, maxDelayMs = delayMs }) => maxDelayMs >= delayMs, { path: ['maxDelayMs'], error: 'expected delayMs or more' })
  .transform((backoff) => ({ ...backoff, maxDelayMs: backoff.maxDelayMs ?? Math.max(HOUR_MS, backoff.delayMs) }));

const optionsSchema = z.strictObject({
  name: z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)'),
  queue: z.string().refine(isName, 'expected letters, digits and . _ - (at most 64)').optional(),
  shards: z.int().min(1).max(MAX_SHARDS).default(1),
  input: z.custom<z.ZodType>(isSchema, 'expected a zod schema'),
  output: z.custom<z.ZodType>(isSchema, 'expected a zod schema').optional(),
  retry: z
    .strictObject({
      attempts: z.int().min(1).max(100).default(1),
      backoff: backoffSchema.prefault({}),
      except: z.array(z.string('expected the name of an error, of its class, or its code').min(1).max(128)).max(100).default([]),
    })
    .prefault({}),
  timeoutMs: z.int().min(1).max(LONGEST_TIMER_MS).optional(),
  retryOnTimeout: z.boolean().default(false),
  deadlineMs: z
    .int()
    .min(1)
    .max(10 * 365 * DAY_MS)
    .optional(),
  retention: z.strictObject(
    { completed: limitsSchema('completed'), failed: limitsSchema('failed and cancelled') },
    stated(`what is kept of ended tasks, for example ${RETENTION_EXAMPLE}`),
  ),
});

function isSchema(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'safeParse' in value && typeof value.safeParse === 'function';
}

/**
 * Defines a task.
 * @throws FleetError `INVALID_DEFINITION`, naming each wrong field
 */
export function defineTask<Input, Output = unknown, Parsed = Input>(
  options: TaskOptions<Input, Output, Parsed>,
): TaskDefinition<Input, Output, Parsed> {
  const parsed = optionsSchema.safeParse(options);
  if (!parsed.success) {
    const name = typeof options?.name === 'string' ? ` "${options.name.slice(0, 64)}"` : '';
    throw new FleetError('INVALID_DEFINITION', `Bad task definition${name}: ${issuesOf(parsed.error)}.`);
  }
  const { queue: given, output, timeoutMs, deadlineMs, ...rest } = parsed.data;
  const queue = given ?? rest.name.split('.')[0] ?? rest.name;
  const problem = problemOfQueue({ queue, shards: rest.shards });
  if (problem !== null) throw new FleetError('INVALID_DEFINITION', `Bad task definition ${quote(rest.name)}: queue: ${problem}.`);
  return Object.freeze({
    ...rest,
    queue,
    input: options.input,
    output: options.output ?? null,
    timeoutMs: timeoutMs ?? null,
    deadlineMs: deadlineMs ?? null,
  });
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

/**
 * Checks an input and returns it as JSON, without defaults, which the worker fills in.
 * @throws FleetError `INVALID_INPUT`, naming the fields; `INPUT_TOO_LARGE`
 */
export function checkInput(definition: AnyDefinition, input: unknown, maxBytes: number): string {
  const parsed = parse(definition, input);
  if (!parsed.success) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: ${issuesOf(parsed.error)}.`, {
      details: {
        task: definition.name,
        fields: parsed.error.issues.slice(0, 100).map((issue) => issue.path.join('.')),
        errors: fieldErrorsOf(parsed.error, 'input'),
      },
    });
  }
  const data = toJson(definition, input);
  // A UTF-16 unit takes at most three bytes, so most inputs need not be measured.
  if (data.length * 3 > maxBytes && Buffer.byteLength(data) > maxBytes) {
    const bytes = Buffer.byteLength(data);
    throw new FleetError('INPUT_TOO_LARGE', `Input for ${definition.name} is ${bytes} bytes of JSON; the limit is ${maxBytes}.`, {
      details: { task: definition.name, bytes, limit: maxBytes },
    });
  }
  return data;
}

function parse(definition: AnyDefinition, input: unknown): ReturnType<AnyDefinition['input']['safeParse']> {
  try {
    return definition.input.safeParse(input);
  } catch (error) {
    // A custom check of the schema threw, or is asynchronous.
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: its schema failed (${messageOf(error)}).`, { cause: error });
  }
}

function toJson(definition: AnyDefinition, input: unknown): string {
  try {
    const data: string | undefined = JSON.stringify(input);
    if (data !== undefined) return data;
  } catch (error) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: not JSON (${messageOf(error)}).`, { cause: error });
  }
  throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: expected a JSON value, got ${typeof input}.`);
}
