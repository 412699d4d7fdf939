import type { ServerAnswer } from './ask-servers.js';
import { changesTo } from './changes.js';
import { keepOthers } from './keep-others.js';
import { isForeign, lastKnownModels } from './last-known.js';
import type { ListedRecord } from './listed-record.js';
import { type ModelEntry, mergeModels } from './merge.js';
import type { ModelCache } from './model-cache.js';
import type { ListedModel } from './model-list.js';
import { type ServerRecord, formerPlaces } from './server-record.js';

/** The result of an update of `p:models`. */
export interface ModelsUpdate {
  /** The models of all servers. */
  readonly models: ReadonlyMap<string, ModelEntry>;
  readonly added: number;
  readonly updated: number;
  readonly removed: number;
}

/** The records that an update reads and writes. */
export interface ModelStores {
  readonly cache: ModelCache;
  readonly record: ServerRecord;
  readonly listings: ListedRecord;
}

/**
 * Updates `p:models` from the servers' answers. A server that did not answer keeps its last known models, at its place in the merge. Models
 * from other parts of open-webui stay, even against a server's of the same id, and so do the fields they have added to a server's models.
 * @throws the signal's reason
 */
export async function updateModels(
  { cache, record, listings }: ModelStores,
  answers: readonly ServerAnswer[],
  signal: AbortSignal,
): Promise<ModelsUpdate> {
  const [stored, former, formerlyListed] = await Promise.all([cache.read(), record.read(), listings.read()]);
  const labels = answers.map(({ label }) => label);
  const known = lastKnownModels(stored, formerPlaces(labels, former));
  const models = mergeModels(answers.map((answer, urlIdx) => answer.models ?? (known[urlIdx] as Map<string, ModelEntry>)));
  const listed = new Map<string, ListedModel>();
  for (const [id, entry] of models) {
    const before = stored.get(id);
    if (before && isForeign(before)) models.delete(id);
    else if (answers[entry.urlIdx]?.models) {
      listed.set(id, entry['openai'] as ListedModel);
      if (before?.fields) models.set(id, keepOthers(entry, before.fields, formerlyListed.get(id) ?? null));
    }
  }
  const changes = changesTo(stored, models);
  await record.change(former, labels, () => cache.write(changes, stored, signal));
  await listings.write(listed, formerlyListed, (id) => models.has(id), signal);
  return { models, added: changes.added, updated: changes.updated, removed: changes.remove.length };
}
