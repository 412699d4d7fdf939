import { z } from 'zod';
import { defineTask } from '../definition.js';
import { MAINTENANCE_QUEUE, MAINTENANCE_RETENTION } from './maintenance-queue.js';

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
 * Asks every server of OPENAI_API_BASE_URLS for its models and brings `p:models` up to date. When a fleet starts, and
 * MODELS_REFRESH_INTERVAL_MS apart from then on; or enqueue it. No input.
 *
 * Output: how many `models` there are now, of which `added` and `updated` were written, and how many were `removed`; and
 * each of the `servers` by its place in OPENAI_API_BASE_URLS, with its URL (without query or credentials) and how many
 * models of `p:models` are its own. One that did not answer says why in `error`, and keeps its last known models;
 * if none of them answered, the task fails and nothing is changed.
 */
export const modelsRefresh = defineTask({
  name: 'models.refresh',
  queue: MAINTENANCE_QUEUE,
  input: z.strictObject({}),
  output: modelsRefreshOutput,
  retention: MAINTENANCE_RETENTION,
});
