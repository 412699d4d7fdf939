import type { z } from 'zod';
import { messageOf } from '../../shared/errors.js';
import { issuesOf } from '../../shared/task/definition.js';

export type Validated = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string };

/** Parses a value with its schema. Fails if the schema's own check throws or is asynchronous. */
export function validate(schema: z.ZodType, value: unknown): Validated {
  try {
    const parsed = schema.safeParse(value);
    return parsed.success ? { ok: true, value: parsed.data } : { ok: false, problem: issuesOf(parsed.error) };
  } catch (error) {
    return { ok: false, problem: `its schema failed (${messageOf(error)})` };
  }
}
