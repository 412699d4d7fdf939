import { isDeepStrictEqual } from 'node:util';
import { type ModelEntry, entryOf } from './merge.js';
import type { Fields } from './model-cache.js';

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
