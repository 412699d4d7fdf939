import type { Settings } from '../../../shared/settings/settings.js';
import type { HandlerRate } from '../../../shared/task/handler.js';
import type { ChatCompletionInput } from '../definitions.js';
import { labelOf } from '../openai/upstream.js';
import { estimateTokens } from './tokens.js';

type ChatRate = HandlerRate<ChatCompletionInput>;

/** Longest key of a limit. */
const MAX_KEY = 256;

/**
 * Returns the rates of `chat.completion`, each for the base URL that the worker asks; none unless set. They are the handler's, because a
 * producer may have other settings, and knows only the number of the server.
 */
export function chatRates({
  chatRequestsPerMinute: requests,
  chatTokensPerMinute: tokens,
  openaiBaseUrls: urls,
}: Pick<Settings, 'chatRequestsPerMinute' | 'chatTokensPerMinute' | 'openaiBaseUrls'>): readonly ChatRate[] {
  const by: ChatRate['by'] = ({ input }) => keyOf(urls[input.base_url_index]);
  const rates: ChatRate[] = [];
  if (requests > 0) rates.push({ group: 'chat.requests', by, limit: requests, per: '1m' });
  if (tokens > 0) rates.push({ group: 'chat.tokens', by, limit: tokens, per: '1m', cost: ({ input }) => estimateTokens(input) });
  return rates;
}

/** Returns a base URL without credentials, query and last slash; null if there is none, and the attempt fails. */
function keyOf(base: string | undefined): string | null {
  return base === undefined ? null : labelOf(base).replace(/\/+$/, '').slice(0, MAX_KEY);
}
