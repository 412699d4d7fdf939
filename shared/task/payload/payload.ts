import { z } from 'zod';
import { FleetError, messageOf } from '../../errors.js';
import { type AnyDefinition, fieldErrorsOf, issuesOf } from '../definition.js';
import { type JsonCheck, type JsonProblem, checkJson } from './json-value.js';
import { hasCodec } from './payload-schema.js';

/** A valid input. */
export interface CheckedInput {
  /** The input as JSON, without defaults, which the worker fills in. */
  readonly json: string;
  /** The parsed input, with defaults. */
  readonly parsed: unknown;
}

/**
 * Checks an input: what is validated is what JSON carries, so a value that JSON would change is refused.
 * @throws FleetError `INVALID_INPUT`, naming the fields; `INPUT_TOO_LARGE`
 */
export function checkInput(definition: AnyDefinition, input: unknown, maxBytes: number): CheckedInput {
  const check = input === undefined ? 'same' : compareWithJson(definition, input);
  if (typeof check !== 'string') throw changedByJson(definition, check);
  const trimmed = check === 'trimmed' ? toJson(definition, input) : null;
  const parsed = parse(definition, trimmed === null ? input : JSON.parse(trimmed));
  if (!parsed.success) {
    throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: ${issuesOf(parsed.error)}.`, {
      details: {
        task: definition.name,
        fields: parsed.error.issues.slice(0, 100).map((issue) => issue.path.join('.')),
        errors: fieldErrorsOf(parsed.error, 'input'),
      },
    });
  }
  const json = trimmed ?? toJson(definition, input);
  // A UTF-16 unit takes at most three bytes, so most inputs need not be measured.
  if (json.length * 3 > maxBytes && Buffer.byteLength(json) > maxBytes) {
    const bytes = Buffer.byteLength(json);
    throw new FleetError('INPUT_TOO_LARGE', `Input for ${definition.name} is ${bytes} bytes of JSON; the limit is ${maxBytes}.`, {
      details: { task: definition.name, bytes, limit: maxBytes },
    });
  }
  return { json, parsed: parsed.data };
}

function compareWithJson({ name }: AnyDefinition, input: unknown): JsonCheck {
  try {
    return checkJson(input);
  } catch (error) {
    // A getter of the value threw.
    throw new FleetError('INVALID_INPUT', `Bad input for ${name}: cannot be read (${messageOf(error)}).`, { cause: error });
  }
}

function changedByJson({ name }: AnyDefinition, { path, problem }: JsonProblem): FleetError {
  const field = path.join('.');
  return new FleetError('INVALID_INPUT', `Bad input for ${name}: ${field === '' ? '' : `${field}: `}${problem}.`, {
    details: { task: name, fields: [field], errors: [{ field: ['input', ...path].join('.'), message: problem }] },
  });
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

type Validated = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string };

/** Parses a value with its schema. Fails if the schema's own check throws or is asynchronous. */
export function validate(schema: z.ZodType, value: unknown): Validated {
  return attempt(() => schema.safeParse(value));
}

function attempt(check: () => z.ZodSafeParseResult<unknown>): Validated {
  try {
    const parsed = check();
    return parsed.success ? { ok: true, value: parsed.data } : { ok: false, problem: issuesOf(parsed.error) };
  } catch (error) {
    return { ok: false, problem: `its schema failed (${messageOf(error)})` };
  }
}

/**
 * Checks a handler's result or chunk with its schema. Returns what JSON will carry: the value as given, or encoded by the codecs of the
 * schema.
 * @param what `output` or `chunk`, for the error
 * @throws FleetError `INVALID_OUTPUT` if it does not match, or JSON would change it
 */
export function encodeOutput(what: 'output' | 'chunk', name: string, schema: z.ZodType, value: unknown): unknown {
  const coded = hasCodec(schema);
  const checked = coded ? attempt(() => z.safeEncode(schema, value)) : validate(schema, value);
  if (!checked.ok) throw badOutput(what, name, checked.problem);
  const encoded = coded ? checked.value : value;
  // `z.void()`: JSON has null in its place, which decodes to undefined again.
  const json = encoded === undefined ? 'same' : checkJson(encoded);
  if (typeof json === 'string') return encoded;
  throw badOutput(what, name, [json.path.join('.'), json.problem].filter(Boolean).join(': '));
}

function badOutput(what: string, name: string, problem: string): FleetError {
  return new FleetError('INVALID_OUTPUT', `Bad ${what} of ${name}: ${problem}`);
}

/**
 * Returns a stored result or chunk as its schema types it: with codecs decoded and defaults filled in.
 * @param whose `task ID`, for the error
 * @throws FleetError `INVALID_OUTPUT` if it does not match, because a worker with another version of the definition wrote it, for example
 */
export function decodeOutput(what: 'output' | 'chunk', whose: string, schema: z.ZodType, stored: unknown): unknown {
  const decoded = validate(schema, stored);
  if (decoded.ok) return decoded.value;
  if (stored === null && validate(schema, undefined).ok) return undefined;
  throw new FleetError('INVALID_OUTPUT', `The ${what} of ${whose} does not match the definition: ${decoded.problem}.`);
}

/** Returns a stored chunk, decoded if its schema has a codec. @throws FleetError `INVALID_OUTPUT` as {@link decodeOutput} */
export function decodeChunk(whose: string, schema: z.ZodType | null, stored: unknown): unknown {
  return schema !== null && hasCodec(schema) ? decodeOutput('chunk', whose, schema, stored) : stored;
}
