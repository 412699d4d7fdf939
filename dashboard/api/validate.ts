import type { z } from 'zod';
import { type ErrorCode, FleetError } from '../../shared/errors.js';
import { fieldErrorsOf } from '../../shared/task/definition.js';
import { shorten } from '../http/problem-members.js';

/** A part of a request. */
type Part = 'path' | 'query' | 'header' | 'body';

/**
 * Parses a part of a request with its schema.
 * @throws FleetError `BAD_REQUEST` or the code given by the schema, with each invalid field
 */
export function validate<Schema extends z.ZodType>(schema: Schema, value: unknown, part: Part): z.output<Schema> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const errors = fieldErrorsOf(parsed.error).map(({ field, message }) => ({ field: field || part, message: `${message}.` }));
  const [issue] = parsed.error.issues;
  const code = issue?.code === 'custom' ? (issue.params?.['code'] as ErrorCode | undefined) : undefined;
  const [first] = errors;
  throw new FleetError(code ?? 'BAD_REQUEST', `Bad ${shorten(first?.field ?? part)}: ${first?.message ?? 'invalid value.'}`, {
    details: { errors },
  });
}
