import type { ModelEntry } from './merge.js';
import type { StoredModel } from './model-cache.js';

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
