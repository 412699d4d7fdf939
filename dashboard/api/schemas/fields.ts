import { z } from 'zod';
import type { ErrorCode } from '../../../shared/errors.js';
import { MAX_ID_LENGTH, MAX_ITEM_LENGTH, MAX_KNOWN_ID_LENGTH, problemOfId, problemOfItem, problemOfKnownId } from '../../../shared/keys.js';
import { MAX_REASON_LENGTH } from '../../../shared/limits.js';

/** The id of a task to look for: one of ours, or any that a plain BullMQ queue gave. */
export const knownId = text(problemOfKnownId, 'INVALID_ID').meta({
  description: 'The id of a task. One that others gave may have any characters; it is sent encoded (`%2F` for a slash).',
  minLength: 1,
  maxLength: MAX_KNOWN_ID_LENGTH,
  example: '01983f6e-7d1c-7a2b-9c3d-4e5f60718293',
});

/** An id for a new task. */
export const newId = text(problemOfId, 'INVALID_ID').meta({
  description: 'Letters, digits and `. _ ~ @ = + -`, not a whole number. The same id twice is one task. Default: a new UUIDv7.',
  minLength: 1,
  maxLength: MAX_ID_LENGTH,
});

export const item = text(problemOfItem, 'INVALID_ITEM').meta({
  description: 'What tasks belong to: a chat, a document, a user. Well-formed Unicode without control characters.',
  minLength: 1,
  maxLength: MAX_ITEM_LENGTH,
  example: 'chat-7',
});

/** A name of a task or queue to look for. */
export const name = z.string().min(1).max(64);

export const reason = z.string().max(MAX_REASON_LENGTH).meta({ description: 'Why; kept with the task and shown to its handler.' });

/** A whole number in a query. */
export function wholeText(min: number, max: number, description: string) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `expected a whole number from ${min} to ${max}`)
    .transform(Number)
    .refine((value) => value >= min && value <= max, `expected a whole number from ${min} to ${max}`)
    .meta({ type: 'integer', minimum: min, maximum: max, description });
}

export const time = z.iso.datetime({ offset: true });

/** A text that a check of our own has something to say about; the problem gets that check's code. */
export function text(problem: (value: string) => string | null, code: ErrorCode) {
  return z.string().check((context) => {
    const found = problem(context.value);
    if (found !== null) context.issues.push({ code: 'custom', input: context.value, message: found, params: { code } });
  });
}
