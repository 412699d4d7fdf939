import type { ServerAnswer } from './ask-servers.js';
import { changesTo } from './changes.js';
import { isForeign, lastKnownModels } from './last-known.js';
import { type ModelEntry, mergeModels } from './merge.js';
import type { ModelCache } from './model-cache.js';
import { type ServerRecord, formerPlaces } from './server-record.js';

/** What an update made of `p:models`. */
export interface ModelsUpdate {
  /** All models of the servers. */
  readonly models: ReadonlyMap<string, ModelEntry>;
  readonly added: number;
  readonly updated: number;
  readonly removed: number;
}

/**
 * Brings `p:models` to what the servers answered. One that did not answer keeps its last known models, which take part in
 * the merge at its place. Models that other parts of open-webui have put in stay, also against a server's of the same id.
 * @throws the signal's reason
 */
export async function updateModels(
  { cache, record }: { readonly cache: ModelCache; readonly record: ServerRecord },
  answers: readonly ServerAnswer[],
  signal: AbortSignal,
): Promise<ModelsUpdate> {
  const [stored, former] = await Promise.all([cache.read(), record.read()]);
  const labels = answers.map(({ label }) => label);
  const known = lastKnownModels(stored, formerPlaces(labels, former));
  const models = mergeModels(answers.map((answer, urlIdx) => answer.models ?? (known[urlIdx] as Map<string, ModelEntry>)));
  for (const [id, model] of stored) if (isForeign(model)) models.delete(id);
  const changes = changesTo(stored, models);
  await record.change(former, labels, () => cache.write(changes, stored, signal));
  return { models, added: changes.added, updated: changes.updated, removed: changes.remove.length };
}
