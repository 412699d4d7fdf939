import { FleetError, messageOf } from '../shared/errors.js';
import { checkId, checkItem } from '../shared/keys.js';
import { type AnyDefinition, issuesOf } from '../shared/task/definition.js';

export interface EnqueueOptions {
  /** What the task belongs to: a chat, a document, a user. 1 to 256 characters, no control characters. */
  readonly item?: string | undefined;
  /** Makes enqueueing idempotent: the same id twice is one task. Default: a new UUIDv7. */
  readonly id?: string | undefined;
  /** Start no sooner than this, in ms from now. Default 0, at most ten years. */
  readonly delay?: number | undefined;
  /** 1 is first, 2,097,151 last; 0, the default, comes before all of them. */
  readonly priority?: number | undefined;
}

/** A task that has passed every check and is not yet written. */
export interface PreparedTask {
  readonly definition: AnyDefinition;
  /** The input as JSON, as the caller gave it: the worker fills in defaults. */
  readonly data: string;
  /** `''` for none. */
  readonly item: string;
  /** Null for a new one. */
  readonly id: string | null;
  readonly delay: number;
  readonly priority: number;
}

const MAX_DELAY_MS = 10 * 365 * 24 * 3_600_000;
const MAX_PRIORITY = 2_097_151;

/**
 * Checks everything about a task before anything is written.
 * @throws FleetError `INVALID_INPUT`, `INPUT_TOO_LARGE`, `INVALID_ID`, `INVALID_ITEM` or `INVALID_OPTION`
 */
export function prepareTask(definition: AnyDefinition, input: unknown, options: EnqueueOptions, maxInputBytes: number): PreparedTask {
  return {
    definition,
    data: checkInput(definition, input, maxInputBytes),
    item: options.item === undefined ? '' : checkItem(options.item),
    id: options.id === undefined ? null : checkId(options.id),
    delay: checkWhole('delay', options.delay, MAX_DELAY_MS),
    priority: checkWhole('priority', options.priority, MAX_PRIORITY),
  };
}

function checkInput(definition: AnyDefinition, input: unknown, maxBytes: number): string {
  const parsed = parse(definition, input);
  if (!parsed.success) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: ${issuesOf(parsed.error)}.`, {
      details: { task: definition.name, fields: parsed.error.issues.map((issue) => issue.path.join('.')) },
    });
  }
  const data = toJson(definition, input);
  // A UTF-16 unit takes at most three bytes, so most inputs need not be measured.
  if (data.length * 3 > maxBytes && Buffer.byteLength(data) > maxBytes) {
    const bytes = Buffer.byteLength(data);
    throw new FleetError('INPUT_TOO_LARGE', `Input for ${definition.name} is ${bytes} bytes of JSON; at most ${maxBytes} are allowed.`, {
      details: { task: definition.name, bytes, limit: maxBytes },
    });
  }
  return data;
}

function parse(definition: AnyDefinition, input: unknown): ReturnType<AnyDefinition['input']['safeParse']> {
  try {
    return definition.input.safeParse(input);
  } catch (error) {
    // A check of the schema's own threw, or is asynchronous.
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
  throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: expected something that JSON can hold, got ${typeof input}.`);
}

/** A whole number from 0 to `max`; 0 if it is not given. */
export function checkWhole(name: string, value: unknown, max: number): number {
  if (value === undefined) return 0;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= max) return value;
  throw new FleetError('INVALID_OPTION', `Bad ${name}: expected a whole number from 0 to ${max}, got ${typeof value === 'number' ? value : typeof value}.`, {
    details: { field: name },
  });
}
