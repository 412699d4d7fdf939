import { z } from 'zod';
import type { ErrorCode } from '../../../shared/errors.js';
import { problemOfId, problemOfItem, problemOfKnownId } from '../../../shared/keys.js';
import { MAX_ID_LENGTH, MAX_ITEM_LENGTH, MAX_KNOWN_ID_LENGTH, MAX_REASON_LENGTH } from '../../../shared/limits.js';

/** The id of an existing task, one of ours or any from a plain BullMQ queue. */
export const knownId = text(problemOfKnownId, 'INVALID_ID').meta({
  description: 'A task id. Foreign ids may contain any characters; encode them (`%2F` for a slash).',
  minLength: 1,
  maxLength: MAX_KNOWN_ID_LENGTH,
  example: '01983f6e-7d1c-7a2b-9c3d-4e5f60718293',
});

/** An id for a new task. */
export const newId = text(problemOfId, 'INVALID_ID').meta({
  description: 'Letters, digits and `. _ ~ @ = + -`, not a whole number. A repeated id yields the same task. Default: a new UUIDv7.',
  minLength: 1,
  maxLength: MAX_ID_LENGTH,
});

export const item = text(problemOfItem, 'INVALID_ITEM').meta({
  description: 'The item that tasks belong to: a chat, a document, a user. Well-formed Unicode without control characters.',
  minLength: 1,
  maxLength: MAX_ITEM_LENGTH,
  example: 'chat-7',
});

export const tag = text(problemOfItem, 'INVALID_OPTION').meta({
  description: 'A label for filters. Well-formed Unicode without control characters.',
  minLength: 1,
  maxLength: MAX_ITEM_LENGTH,
  example: 'tenant:7',
});

/** The name of an existing task or queue. */
export const name = z.string().min(1).max(64);

export const reason = z
  .string()
  .max(MAX_REASON_LENGTH)
  .meta({ description: 'The reason, stored with the task and passed to its handler.' });

/** Returns the schema of a whole number in a query. */
export function wholeText(min: number, max: number, description: string) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`)
    .meta({ type: 'integer', minimum: min, maximum: max, description });
}

export const time = z.iso.datetime({ offset: true });

/** Returns the schema of a text with a custom check, whose problem gets the given code. */
export function text(problem: (value: string) => string | null, code: ErrorCode) {
  return z.string().check((context) => {
    const found = problem(context.value);
    if (found !== null) context.issues.push({ code: 'custom', input: context.value, message: found, params: { code } });
  });
}
