import { isDeepStrictEqual } from 'node:util';
import { isForeign } from './last-known.js';
import type { ModelEntry } from './merge.js';
import type { ModelChanges, StoredModel } from './model-cache.js';

export interface CountedChanges extends ModelChanges {
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
