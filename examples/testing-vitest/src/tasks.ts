import { defineTask } from 'taskfleet';
import { z } from 'zod';

/** Writes a report page by page; a user has one at a time. */
export const writeReport = defineTask({
  name: 'report.write',
  input: z.object({ user: z.string().min(1), pages: z.int().min(1).default(2) }),
  chunk: z.string(),
  output: z.object({ pages: z.int() }),
  retry: { attempts: 3, backoff: { delayMs: 60_000 } },
  concurrency: { by: 'item', limit: 1 },
  whenBusy: 'reject',
});
