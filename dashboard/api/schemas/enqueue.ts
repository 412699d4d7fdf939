import { z } from 'zod';
import { item, newId } from './fields.js';

/** The body of `POST /tasks`. */
export const enqueueBody = z
  .strictObject({
    name: z.string().min(1).max(64).meta({ description: 'Of the task: see `GET /definitions`.', example: 'fleet.canary' }),
    input: z
      .unknown()
      .optional()
      .meta({ description: "As the task's schema wants it: see `GET /definitions`. Default `{}`.", example: { run_ms: 1_000 } }),
    item: item.optional(),
    id: newId.optional(),
    delay: z.int().min(0).max(315_360_000_000).optional().meta({ description: 'Start no sooner than this, in ms from now.' }),
    priority: z
      .int()
      .min(0)
      .max(2_097_151)
      .optional()
      .meta({ description: '1 is first, 2,097,151 last; 0, the default, comes before all of them.' }),
    deadline: z.iso
      .datetime({ offset: true })
      .optional()
      .meta({ description: 'Start no attempt later than this: a task that nobody has come to by then fails.' }),
    on_busy: z
      .enum(['stop-previous', 'reject'])
      .optional()
      .meta({ description: 'What to do if the item has live tasks: stop them, or add nothing and fail. Default: they live side by side.' }),
  })
  .meta({ id: 'Enqueue' });

/** `Idempotency-Key`, with the quotes of a structured header or without. */
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
      description: 'The same key and body within 24 hours gives the same task.',
      example: '"8e03978e-40d5-43dd-bc93-6894a57f9324"',
    }),
});
