import { z } from 'zod';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from '../../../shared/schedule/schedule.js';
import { defineTask } from '../../../shared/task/definition.js';

const count = z.int().min(0);

const modelsRefreshOutput = z.strictObject({
  models: count,
  added: count,
  updated: count,
  removed: count,
  servers: z.array(
    z.strictObject({
      url_idx: count,
      url: z.string(),
      models: count,
      error: z.string().nullable(),
    }),
  ),
  took_ms: z.number().min(0),
});

export type ModelsRefreshOutput = z.output<typeof modelsRefreshOutput>;

/**
 * Lists the models of every server in OPENAI_API_BASE_URLS and updates `p:models`. Runs when a fleet starts, then every
 * MODELS_REFRESH_INTERVAL_MS, and on demand. No input.
 *
 * Output: the number of `models` now, and how many were `added`, `updated` and `removed`; and `servers`, by position in
 * OPENAI_API_BASE_URLS, with the URL (without query or credentials) and the number of their models in `p:models`. A server that did not
 * answer has an `error` and keeps its last known models; if none answered, the task fails without changes.
 */
export const modelsRefresh = defineTask({
  name: 'models.refresh',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: modelsRefreshOutput,
  retention: MAINTENANCE_RETENTION,
});
