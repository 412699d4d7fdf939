import { setMaxListeners } from 'node:events';
import { messageOf } from '../../../shared/errors.js';
import type { Logger } from '../../../shared/log/logger.js';
import type { Settings } from '../../../shared/settings/settings.js';
import { type TaskHandler, defineHandler } from '../../../shared/task/handler.js';
import { type ModelsRefreshOutput, modelsRefresh } from '../definitions.js';
import type { FleetResources } from '../fleet-resources.js';
import { labelOf, upstreamAt } from '../openai/upstream.js';
import { type ModelEntry, changesTo, entriesOf, isForeign, keepOthers, lastKnownModels, mergeModels } from './merge.js';
import { ModelCache } from './model-cache.js';
import { type ListedModel, listModels } from './model-list.js';
import { ListedRecord, ServerRecord, formerPlaces } from './records.js';

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

/** The answer of a server to a request for its models. */
interface ServerAnswer {
  /** The server's base URL, without query. */
  readonly label: string;
  /** The server's models; null if it did not list them. */
  readonly models: ReadonlyMap<string, ModelEntry> | null;
  /** Why the server did not list its models. */
  readonly error: string | null;
}

/**
 * Asks all servers of OPENAI_API_BASE_URLS at once, each with its own time limit. Returns the answers in the same order.
 * @throws the signal's reason, once the connections are closed
 */
async function askServers(settings: Settings, signal: AbortSignal): Promise<ServerAnswer[]> {
  signal.throwIfAborted();
  setMaxListeners(0, signal); // one for each server
  const answers = await Promise.all(settings.openaiBaseUrls.map((_, urlIdx) => ask(settings, urlIdx, signal)));
  signal.throwIfAborted();
  return answers;
}

async function ask(settings: Settings, urlIdx: number, signal: AbortSignal): Promise<ServerAnswer> {
  const baseUrl = settings.openaiBaseUrls[urlIdx] as string;
  const label = labelOf(baseUrl);
  try {
    const listed = await listModels(upstreamAt(settings, urlIdx), { timeoutMs: settings.modelListTimeoutMs, signal });
    return { label, models: entriesOf(listed, baseUrl, urlIdx), error: null };
  } catch (error) {
    return { label, models: null, error: messageOf(error) };
  }
}

const NOTHING: ModelsUpdate = { models: new Map(), added: 0, updated: 0, removed: 0 };

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
