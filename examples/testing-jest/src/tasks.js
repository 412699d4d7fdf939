import { defineTask } from 'taskfleet';
import { z } from 'zod';

/** Writes a report from a template, page by page. */
export const writeReport = defineTask({
  name: 'report.write',
  input: z.object({ template: z.string(), pages: z.int().default(2) }),
  chunk: z.string(),
  output: z.object({ pages: z.int() }),
  retry: { attempts: 3, backoff: { delayMs: 60_000 }, except: ['ENOENT'] },
});
