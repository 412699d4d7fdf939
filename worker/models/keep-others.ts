import { isDeepStrictEqual } from 'node:util';
import { type ModelEntry, entryOf } from './merge.js';
import type { Fields } from './model-cache.js';

/** Fields that open-webui's settings of a connection put into every model of it, `openai` included. */
const CONNECTION_FIELDS: readonly string[] = ['tags', 'connection_type'];

/**
 * The entry of a model that a server lists, with what others have made of the stored one: `info`, `actions` and `filters` that
 * open-webui adds, a `name` that an administrator gave. A field is the server's if the server lists it now, or listed it last time and
 * nobody has changed it since; what the server has changed since then holds against what others have changed.
 *
 * @param entry as the server lists the model now
 * @param stored what `p:models` has for it
 * @param recorded as the server listed it last time; null if that is not known: then what the stored entry says of it counts
 */
export function keepOthers(entry: ModelEntry, stored: Fields, recorded: Fields | null): ModelEntry {
  const storedListing = fieldsOf(stored['openai']);
  const former = recorded ?? withoutConnectionFields(storedListing);
  const id = String(entry['id'] ?? entry['name']);
  const merged = mergeFields(entry, stored, entryOf(id, former, entry.urlIdx));
  return { ...merged, openai: mergeFields(fieldsOf(entry['openai']), storedListing, former), urlIdx: entry.urlIdx };
}

/** `next`, but for fields that differ from `former` in `stored` alone, and with the fields that only `stored` has. */
function mergeFields(next: Fields, stored: Fields, former: Fields): Fields {
  const isFormer = (field: string, value: unknown): boolean => Object.hasOwn(former, field) && isDeepStrictEqual(former[field], value);
  const kept = Object.entries(stored).filter(([field, value]) =>
    Object.hasOwn(next, field) ? isFormer(field, next[field]) && !isFormer(field, value) : !isFormer(field, value),
  );
  // Not by assignment, which a field named `__proto__` would not survive.
  return Object.fromEntries([...Object.entries(next), ...kept]);
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function withoutConnectionFields(fields: Fields): Fields {
  return Object.fromEntries(Object.entries(fields).filter(([field]) => !CONNECTION_FIELDS.includes(field)));
}
