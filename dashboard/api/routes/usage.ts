import { z } from 'zod';
import { MAX_ITEM_LENGTH, problemOfItem } from '../../../shared/keys.js';
import { type Route, defineRoute } from '../route.js';
import { text } from '../schemas/fields.js';

const part = (description: string) => text(problemOfItem, 'INVALID_INPUT').meta({ description, minLength: 1, maxLength: MAX_ITEM_LENGTH });

const listUsage = defineRoute({
  method: 'get',
  path: '/usage',
  role: 'viewer',
  operation: 'listModelsInUse',
  summary: 'List the models in use, as of the last clean-up',
  replies: { 200: { about: 'Model ids, sorted.', schema: z.strictObject({ models: z.array(z.string()) }).meta({ id: 'Usage' }) } },
  errors: ['MALFORMED_DATA'],
  handle: async ({ api }) => ({ status: 200, body: { models: await api.producer.usage.inUse() } }),
});

/** Not audited: sessions send it about every second, and it changes nothing of interest to an audit. */
const touch = defineRoute({
  method: 'put',
  path: '/usage/{model}/{session}',
  role: 'submitter',
  operation: 'touchUsage',
  summary: 'Report that a session is using a model',
  description: 'Repeat before `USAGE_POOL_TIMEOUT` expires. Encode slashes as `%2F`.',
  params: z.strictObject({ model: part('The id of the model.'), session: part('The id of the session.') }),
  replies: { 204: { about: 'Recorded.', schema: null } },
  errors: ['INVALID_INPUT', 'MALFORMED_DATA'],
  handle: async ({ api, params: { model, session } }) => {
    await api.producer.usage.touch(model, session);
    return { status: 204 };
  },
});

export const usageRoutes: readonly Route[] = [listUsage, touch];
