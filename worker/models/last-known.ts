import type { ModelEntry } from './merge.js';
import type { StoredModel } from './model-cache.js';

/**
 * The models that are stored for each server.
 * @param places for each server, the `urlIdx` that its entries have; null for one that has none
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

/** What other parts of open-webui have put in: models of Ollama, of functions, arenas, and those that users made. */
const OTHER_KINDS = ['ollama', 'pipe', 'arena', 'preset'] as const;

/** Whether an entry is none of our business. A server may list models with such fields itself: those are its own. */
export function isForeign({ fields }: StoredModel): boolean {
  return fields !== null && !isServersOwn(fields) && OTHER_KINDS.some((kind) => Object.hasOwn(fields, kind));
}

/** Whether an entry is of a server of OPENAI_API_BASE_URLS, whoever wrote it. */
function isServersOwn(fields: Readonly<Record<string, unknown>>): fields is ModelEntry {
  return Object.hasOwn(fields, 'openai') && typeof fields['urlIdx'] === 'number';
}
