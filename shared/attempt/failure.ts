import { inspect } from 'node:util';
import { isError, messageOf, withoutArguments } from '../errors.js';
import { MAX_FAILURE_BYTES, cutToBytes, shortened } from '../limits.js';

/** What a failed attempt threw: an error with its causes, or another value as text. */
export interface Failure {
  /** The error's name; of a value that is not an Error, its type: `string`, `object`, `undefined`. */
  readonly name: string;
  readonly message: string;
  readonly code: string | null;
  readonly stack: string | null;
  readonly cause: Failure | null;
  /** The members of an AggregateError. */
  readonly errors: readonly Failure[];
}

/** Length of the chain of causes, and the members kept of one AggregateError. */
const MAX_DEPTH = 5;
const MAX_MEMBERS = 5;
/** Errors kept in one failure: members may have causes and members of their own. */
const MAX_ERRORS = 20;
const MAX_LABEL = 128;

/** Bytes of the texts of the error itself and of those below it. */
interface Bounds {
  readonly message: number;
  readonly stack: number;
  readonly innerMessage: number;
  readonly innerStack: number;
  readonly errors: number;
}

/** From generous to tight: the first whose result fits is kept. */
const BOUNDS: readonly Bounds[] = [
  { message: 4_096, stack: 6_144, innerMessage: 1_024, innerStack: 2_048, errors: MAX_ERRORS },
  { message: 2_048, stack: 4_096, innerMessage: 512, innerStack: 512, errors: MAX_ERRORS },
  { message: 1_024, stack: 2_048, innerMessage: 256, innerStack: 0, errors: 10 },
  { message: 1_024, stack: 0, innerMessage: 0, innerStack: 0, errors: 1 },
];

/**
 * Describes a thrown value in at most 16 KiB of JSON: the chain of causes up to 5 deep, up to 5 members of an AggregateError. Longer
 * texts are cut with a mark. Never throws, even for a Proxy or an error whose getters throw.
 */
export function failureOf(thrown: unknown): Failure {
  let failure: Failure | null = null;
  for (const bounds of BOUNDS) {
    failure = new Describer(bounds).describe(thrown);
    if (sizeOf(failure) <= MAX_FAILURE_BYTES) return failure;
  }
  return failure as Failure;
}

/** Describes one thrown value within its bounds. */
class Describer {
  #left: number;
  readonly #seen = new Set<unknown>();

  constructor(private readonly bounds: Bounds) {
    this.#left = bounds.errors;
  }

  describe(thrown: unknown, depth = 0): Failure {
    this.#left -= 1;
    this.#seen.add(thrown);
    const isInner = depth > 0;
    const { message: outer, innerMessage, stack: outerStack, innerStack } = this.bounds;
    const cut = (text: string): string => cutToBytes(withoutArguments(text), isInner ? innerMessage : outer);
    if (!isError(thrown)) return { ...BARE, name: nameOfValue(thrown), message: cut(textOf(thrown)) };
    const code = read(thrown, 'code');
    return {
      name: label(read(thrown, 'name')) ?? 'Error',
      message: cut(messageOf(thrown)),
      code: typeof code === 'number' ? String(code) : label(code),
      stack: stackOf(thrown, isInner ? innerStack : outerStack),
      cause: this.#causeOf(thrown, depth),
      errors: this.#membersOf(thrown, depth),
    };
  }

  #causeOf(error: Error, depth: number): Failure | null {
    const cause = read(error, 'cause');
    return cause === undefined || cause === null ? null : this.#inner(cause, depth);
  }

  #membersOf(error: Error, depth: number): Failure[] {
    const members = read(error, 'errors');
    if (!Array.isArray(members) || !(error instanceof AggregateError || read(error, 'name') === 'AggregateError')) return [];
    return members.slice(0, MAX_MEMBERS).flatMap((member) => this.#inner(member, depth) ?? []);
  }

  /** Null beyond a bound, and for an error that is its own cause. */
  #inner(thrown: unknown, depth: number): Failure | null {
    return depth >= MAX_DEPTH || this.#left <= 0 || this.#seen.has(thrown) ? null : this.describe(thrown, depth + 1);
  }
}

const BARE = { code: null, stack: null, cause: null, errors: [] } as const;

/** Also true for an error of another realm, such as a vm context. */
function read(error: Error, property: string): unknown {
  try {
    return (error as unknown as Record<string, unknown>)[property];
  } catch {
    return undefined;
  }
}

function label(value: unknown): string | null {
  return typeof value === 'string' && value !== '' ? shortened(value, MAX_LABEL) : null;
}

function nameOfValue(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  try {
    return inspect(value, { breakLength: Infinity, maxStringLength: MAX_FAILURE_BYTES });
  } catch {
    return messageOf(value);
  }
}

/** Cuts the message inside the stack as well: V8 repeats it there in full. */
function stackOf(error: Error, most: number): string | null {
  const stack = read(error, 'stack');
  if (most === 0 || typeof stack !== 'string') return null;
  const message = messageOf(error);
  const at = message.length > MAX_LABEL ? stack.indexOf(message) : -1;
  const short = at < 0 ? stack : stack.slice(0, at) + shortened(message, MAX_LABEL) + stack.slice(at + message.length);
  return cutToBytes(withoutArguments(short), most);
}

function sizeOf(failure: Failure): number {
  return Buffer.byteLength(JSON.stringify(failure));
}

/** Rebuilds an error from its description: name, message, code, stack, causes and members. */
export function errorOf({ name, message, code, stack, cause, errors }: Failure): Error {
  const options = cause === null ? {} : { cause: errorOf(cause) };
  const error = errors.length > 0 ? new AggregateError(errors.map(errorOf), message, options) : new Error(message, options);
  const hidden = { configurable: true, writable: true, enumerable: false };
  Object.defineProperty(error, 'name', { ...hidden, value: name });
  // Without a stack, the error must not have the one of this function.
  Object.defineProperty(error, 'stack', { ...hidden, value: stack ?? undefined });
  return code === null ? error : Object.assign(error, { code });
}

/** Parses a stored description, which any program may have written; null if it is none. Never throws. */
export function parseFailure(value: unknown, depth = 0): Failure | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  const { name, message, code, stack, cause, errors } = value as Record<string, unknown>;
  const inner = (given: unknown): Failure | null => (depth >= MAX_DEPTH ? null : parseFailure(given, depth + 1));
  return {
    name: typeof name === 'string' ? name : 'Error',
    message: typeof message === 'string' ? message : '',
    code: typeof code === 'string' ? code : null,
    stack: typeof stack === 'string' ? stack : null,
    cause: inner(cause),
    errors: Array.isArray(errors) ? errors.slice(0, MAX_MEMBERS).flatMap((member) => inner(member) ?? []) : [],
  };
}

/** Returns the failure without stacks, for callers who may see a task but not the code that ran it. */
export function withoutStacks(failure: Failure): Failure {
  return { ...failure, stack: null, cause: failure.cause && withoutStacks(failure.cause), errors: failure.errors.map(withoutStacks) };
}
