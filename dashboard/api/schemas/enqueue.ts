import { z } from 'zod';
import { item, newId } from './fields.js';

/** The body of `POST /tasks`. */
export const enqueueBody = z
  .strictObject({
    name: z.string().min(1).max(64).meta({ description: 'Task name: see `GET /definitions`.', example: 'fleet.canary' }),
    input: z
      .unknown()
      .optional()
      .meta({ description: "Must match the task's schema: see `GET /definitions`. Default `{}`.", example: { run_ms: 1_000 } }),
    item: item.optional(),
    id: newId.optional(),
    delay: z.int().min(0).max(315_360_000_000).optional().meta({ description: 'Delay before the start, in ms.' }),
    priority: z
      .int()
      .min(0)
      .max(2_097_151)
      .optional()
      .meta({ description: '1 is the highest priority, 2,097,151 the lowest; 0, the default, precedes all of them.' }),
    deadline: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({ description: 'Latest start of an attempt; a task that has not started by then fails.' }),
    on_busy: z
      .enum(['stop-previous', 'reject'])
      .optional()
      .meta({ description: 'If the item has live tasks: stop them, or reject this task. Default: run concurrently.' }),
  })
  .meta({ id: 'Enqueue' });

/** `Idempotency-Key`, with or without the quotes of a structured header. */
export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .regex(
      /^(?:"[\x21\x23-\x5b\x5d-\x7e]{1,255}"|[\x21\x23-\x5b\x5d-\x7e]{1,255})$/,
      'expected 1 to 255 visible ASCII characters without " and \\',
    )
    .transform((key) => key.replaceAll('"', ''))
    .optional()
    .meta({
      type: 'string',
      description: 'The same key and body yield the same task within 24 hours.',
      example: '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    }),
});
