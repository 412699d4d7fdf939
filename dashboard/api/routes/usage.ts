import { z } from 'zod';
import { MAX_ITEM_LENGTH, problemOfItem } from '../../../shared/keys.js';
import { type Route, defineRoute } from '../route.js';
import { text } from '../schemas/fields.js';

const part = (description: string) => text(problemOfItem, 'INVALID_INPUT').meta({ description, minLength: 1, maxLength: MAX_ITEM_LENGTH });

const list = defineRoute({
  method: 'get',
  path: '/usage',
  role: 'viewer',
  operation: 'listModelsInUse',
  summary: 'The models in use, as of the last clean-up',
  replies: { 200: { about: 'Ids of models, sorted.', schema: z.strictObject({ models: z.array(z.string()) }).meta({ id: 'Usage' }) } },
  errors: ['MALFORMED_DATA'],
  handle: async ({ api }) => ({ status: 200, body: { models: await api.producer.usage.inUse() } }),
});

/** Not audited: a session says it every second or so, and it changes nothing that anybody would ask about later. */
const touch = defineRoute({
  method: 'put',
  path: '/usage/{model}/{session}',
  role: 'submitter',
  operation: 'touchUsage',
  summary: 'Say that a session uses a model now',
  description: 'Say it again before `USAGE_POOL_TIMEOUT` is over. Slashes are sent encoded, as `%2F`.',
  params: z.strictObject({ model: part('The id of the model.'), session: part('The id of the session.') }),
  replies: { 204: { about: 'Noted.', schema: null } },
  errors: ['INVALID_INPUT', 'MALFORMED_DATA'],
  handle: async ({ api, params: { model, session } }) => {
    await api.producer.usage.touch(model, session);
    return { status: 204 };
  },
});

export const usageRoutes: readonly Route[] = [list, touch];
