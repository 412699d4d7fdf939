import type { ListedModel } from './model-list.js';

/** A model as stored in `p:models`: the server's fields and those open-webui adds. */
export type ModelEntry = Readonly<Record<string, unknown>> & { readonly urlIdx: number };

/** Parts of ids of api.openai.com models that cannot chat and are left out. */
const NO_CHAT = ['babbage', 'dall-e', 'davinci', 'embedding', 'tts', 'whisper'] as const;

/**
 * Returns the entries of a server's models by id; a model without `id` goes by its `name`. The form is open-webui's: `get_merged_models` in
 * backend/open_webui/routers/openai.py.
 */
export function entriesOf(models: readonly ListedModel[], baseUrl: string, urlIdx: number): Map<string, ModelEntry> {
  const entries = new Map<string, ModelEntry>();
  const isOpenAi = new URL(baseUrl).hostname === 'api.openai.com';
  for (const listed of models) {
    const model = withoutNullName(listed);
    const id = [model['id'], model['name']].find((text) => typeof text === 'string' && text !== '') as string | undefined;
    if (id === undefined || entries.has(id)) continue;
    if (isOpenAi && NO_CHAT.some((part) => id.includes(part))) continue;
    entries.set(id, entryOf(id, model, urlIdx));
  }
  return entries;
}

export function entryOf(id: string, model: ListedModel, urlIdx: number): ModelEntry {
  const { name = id, connection_type = 'external', provider = '' } = model;
  return { ...model, name, owned_by: 'openai', openai: model, connection_type, provider, urlIdx };
}

/** Merges the models of all servers; the first server that lists a model provides it. */
export function mergeModels(servers: readonly ReadonlyMap<string, ModelEntry>[]): Map<string, ModelEntry> {
  const merged = new Map<string, ModelEntry>();
  for (const models of servers) for (const [id, entry] of models) if (!merged.has(id)) merged.set(id, entry);
  return merged;
}

function withoutNullName(model: ListedModel): ListedModel {
  if (model['name'] !== null) return model;
  const { name: _, ...rest } = model;
  return rest;
}
