import type { Logger } from '../../../shared/logger.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type ModelsRefreshOutput, modelsRefresh } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import { type ServerAnswer, askServers } from './ask-servers.js';
import { type ModelEntry, changesTo, isForeign, keepOthers, lastKnownModels, mergeModels } from './merge.js';
import { ModelCache } from './model-cache.js';
import type { ListedModel } from './model-list.js';
import { ListedRecord, ServerRecord, formerPlaces } from './records.js';

/** The result of an update of `p:models`. */
interface ModelsUpdate {
  /** The models of all servers. */
  readonly models: ReadonlyMap<string, ModelEntry>;
  readonly added: number;
  readonly updated: number;
  readonly removed: number;
}

/** The records that an update reads and writes. */
interface ModelStores {
  readonly cache: ModelCache;
  readonly record: ServerRecord;
  readonly listings: ListedRecord;
}

/**
 * Updates `p:models` from the servers' answers. A server that did not answer keeps its last known models, at its place in the merge. Models
 * from other parts of open-webui stay, even against a server's of the same id, and so do the fields they have added to a server's models.
 * @throws the signal's reason
 */
async function updateModels(
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

const NOTHING: ModelsUpdate = { models: new Map(), added: 0, updated: 0, removed: 0 };

/**
 * Creates the handler of `models.refresh`. Concurrent runs do no harm. An abort closes the connections to the servers, or ends the writes
 * between two batches, and throws its reason.
 *
 * If no server listed its models, throws an Error that names them all, and writes nothing. Without any configured server it writes nothing
 * either: the models then belong to another program.
 */
export function modelsRefreshHandler({ store: { pools }, settings, loggers }: FleetResources): TaskHandler {
  const logger = loggers('models');
  return defineHandler(modelsRefresh, async ({ signal }) => {
    const startedAt = performance.now();
    const answers = await askServers(settings, signal);
    reportFailures(answers, logger);
    const { keys } = pools;
    const redis = await pools.connection();
    const stores = {
      cache: new ModelCache({ redis, keys }),
      record: new ServerRecord({ redis, keys }),
      listings: new ListedRecord({ redis, keys }),
    };
    const { models, ...counts } = answers.length === 0 ? NOTHING : await updateModels(stores, answers, signal);
    if (counts.added + counts.updated + counts.removed > 0) logger.info({ models: models.size, ...counts }, 'Models updated');
    return {
      models: models.size,
      ...counts,
      servers: describeServers(answers, models),
      took_ms: Math.round(performance.now() - startedAt),
    };
  });
}

/** @throws Error if all of them failed */
function reportFailures(answers: readonly ServerAnswer[], logger: Logger): void {
  const failed = answers.filter(({ models }) => models === null);
  for (const { label, error } of failed)
    logger.warn({ server: label, error }, 'Could not list the models of a server; keeping its last known models');
  if (failed.length === 0 || failed.length < answers.length) return;
  throw new Error(`No server listed its models. ${failed.map(({ error }) => error).join('; ')}`);
}

function describeServers(answers: readonly ServerAnswer[], models: ModelsUpdate['models']): ModelsRefreshOutput['servers'] {
  const counts = answers.map(() => 0);
  for (const { urlIdx } of models.values()) counts[urlIdx] = (counts[urlIdx] ?? 0) + 1;
  return answers.map(({ label, error }, urlIdx) => ({ url_idx: urlIdx, url: label, models: counts[urlIdx] ?? 0, error }));
}
