import { setMaxListeners } from 'node:events';
import { messageOf } from '../../../shared/errors.js';
import type { Settings } from '../../../shared/settings/settings.js';
import { labelOf, upstreamAt } from '../openai/upstream.js';
import { type ModelEntry, entriesOf } from './merge.js';
import { listModels } from './model-list.js';

/** The answer of a server to a request for its models. */
export interface ServerAnswer {
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
export async function askServers(settings: Settings, signal: AbortSignal): Promise<ServerAnswer[]> {
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
