import { isDeepStrictEqual } from 'node:util';
import type { Fields, ModelChanges, StoredModel } from './model-cache.js';
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

interface CountedChanges extends ModelChanges {
  readonly added: number;
  readonly updated: number;
}

/**
 * Returns the changes that bring `p:models` up to date. An entry with the same content stays as it is, even one from open-webui, whose JSON
 * has different spaces.
 */
export function changesTo(stored: ReadonlyMap<string, StoredModel>, wanted: ReadonlyMap<string, ModelEntry>): CountedChanges {
  const set = new Map<string, string>();
  let added = 0;
  for (const [id, entry] of wanted) {
    const json = JSON.stringify(entry);
    const before = stored.get(id);
    if (before && (before.json === json || isDeepStrictEqual(before.fields, entry))) continue;
    if (!before) added += 1;
    set.set(id, json);
  }
  const remove = [...stored].flatMap(([id, model]) => (wanted.has(id) || isForeign(model) ? [] : [id]));
  return { set, remove, added, updated: set.size - added };
}

/** Fields that open-webui's connection settings add to every model of a server, `openai` included. */
const CONNECTION_FIELDS: readonly string[] = ['tags', 'connection_type'];

/**
 * Returns the entry of a model with the changes others made to the stored one: `info`, `actions` and `filters` from open-webui, a `name`
 * from an administrator. A field belongs to the server if the server lists it now, or listed it last time and nobody has changed it since;
 * newer changes by the server override changes by others.
 *
 * @param entry the model as the server lists it now
 * @param stored the entry in `p:models`
 * @param recorded the model as the server listed it last time; null if unknown: then the stored entry counts
 */
export function keepOthers(entry: ModelEntry, stored: Fields, recorded: Fields | null): ModelEntry {
  const storedListing = fieldsOf(stored['openai']);
  const former = recorded ?? withoutConnectionFields(storedListing);
  const id = String(entry['id'] ?? entry['name']);
  const merged = mergeFields(entry, stored, entryOf(id, former, entry.urlIdx));
  return { ...merged, openai: mergeFields(fieldsOf(entry['openai']), storedListing, former), urlIdx: entry.urlIdx };
}

/** Returns `next` with the fields that only `stored` has or has changed since `former`. */
function mergeFields(next: Fields, stored: Fields, former: Fields): Fields {
  const isFormer = (field: string, value: unknown): boolean => Object.hasOwn(former, field) && isDeepStrictEqual(former[field], value);
  const kept = Object.entries(stored).filter(([field, value]) =>
    Object.hasOwn(next, field) ? isFormer(field, next[field]) && !isFormer(field, value) : !isFormer(field, value),
  );
  // Not by assignment, which would lose a field named `__proto__`.
  return Object.fromEntries([...Object.entries(next), ...kept]);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function withoutConnectionFields(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !CONNECTION_FIELDS.includes(field)));
}

/**
 * Returns the stored models of each server.
 * @param places for each server, the `urlIdx` of its entries; null if it has none
 */
export function lastKnownModels(stored: ReadonlyMap<string, StoredModel>, places: readonly (number | null)[]): Map<string, ModelEntry>[] {
  const known = places.map(() => new Map<string, ModelEntry>());
  const serverAt = new Map(places.map((place, server) => [place, server]));
  for (const [id, { fields }] of stored) {
    if (fields === null || !isServersOwn(fields)) continue;
    const urlIdx = serverAt.get(fields.urlIdx);
    if (urlIdx !== undefined) known[urlIdx]?.set(id, { ...fields, urlIdx });
  }
  return known;
}

/** Fields of models from other parts of open-webui: Ollama, functions, arenas, and models made by users. */
const OTHER_KINDS = ['ollama', 'pipe', 'arena', 'preset'] as const;

/** Returns whether an entry belongs to another part of open-webui. A server may list models with such fields itself: those are its own. */
export function isForeign({ fields }: StoredModel): boolean {
  return fields !== null && !isServersOwn(fields) && OTHER_KINDS.some((kind) => Object.hasOwn(fields, kind));
}

/** Returns whether an entry is of a server of OPENAI_API_BASE_URLS, no matter who wrote it. */
function isServersOwn(fields: Readonly<Record<string, unknown>>): fields is ModelEntry {
  return Object.hasOwn(fields, 'openai') && typeof fields['urlIdx'] === 'number';
}
