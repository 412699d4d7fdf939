import type { ListedModel } from './model-list.js';

/** A model as `p:models` has it: what its server lists, and what open-webui adds to that. */
export type ModelEntry = Readonly<Record<string, unknown>> & { readonly urlIdx: number };

/** Of api.openai.com, models whose id has one of these are left out: they do not chat. */
const NO_CHAT = ['babbage', 'dall-e', 'davinci', 'embedding', 'tts', 'whisper'] as const;

/**
 * The entries of the models that a server lists, by id; a model without `id` is known by its `name`. The form is that of
 * open-webui, `get_merged_models` in backend/open_webui/routers/openai.py.
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

/** The entry of one model. */
export function entryOf(id: string, model: ListedModel, urlIdx: number): ModelEntry {
  const { name = id, connection_type = 'external', provider = '' } = model;
  return { ...model, name, owned_by: 'openai', openai: model, connection_type, provider, urlIdx };
}

/** All servers' models, each once: of the first server that has it. */
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
