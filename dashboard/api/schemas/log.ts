import { z } from 'zod';
import { time } from './fields.js';

export const logLine = z
  .strictObject({
    seq: z.int().min(1).meta({ description: "The line's number since the task's first, from 1. Dropped lines count." }),
    at: time.nullable(),
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).nullable(),
    attempt: z.int().min(0).nullable().meta({ description: 'The attempt that logged it.' }),
    message: z.string(),
    fields: z
      .record(z.string(), z.unknown())
      .meta({ description: 'Other fields, secrets censored. Stacks of errors only for operators and admins.' }),
  })
  .meta({
    id: 'LogLine',
    description: 'A line of a task’s log. `at`, `level` and `attempt` are null for lines of plain BullMQ clients.',
  });

export const logPage = z
  .strictObject({
    lines: z.array(logLine),
    next: z.int().min(1).nullable().meta({ description: 'Pass as `after` for the next page; null if there are no more lines yet.' }),
    dropped: z.int().min(0).meta({ description: 'Number of the oldest lines that are no longer kept.' }),
  })
  .meta({ id: 'LogPage' });
