import type { ChatCompletionInput } from '../definitions.js';
import type { CompletionChunk } from './completion-chunk.js';

/** Characters of a token, on average: OpenAI's own rule of thumb. */
const TOKEN_LENGTH = 4;
/** Tokens of an answer without `max_tokens`. */
const ANSWER_TOKENS = 500;
/** More tokens than a request can have: a count beyond is a fault of the server. */
const MAX_TOKENS = 100_000_000;

/** Estimates the tokens of a request and its answer: a token for four characters of the messages, and `max_tokens`, or 500 without it. */
export function estimateTokens({
  messages,
  max_tokens: answer = ANSWER_TOKENS,
}: Pick<ChatCompletionInput, 'messages' | 'max_tokens'>): number {
  const length = messages.reduce((sum, { content }) => sum + content.length, 0);
  return Math.ceil(length / TOKEN_LENGTH) + answer;
}

/** Returns the tokens that a server counted; null without a usable count. */
export function tokensOf(usage: CompletionChunk['usage']): number | null {
  if (usage === null) return null;
  const { total_tokens: total, prompt_tokens: prompt, completion_tokens: answer } = usage;
  if (isCount(total)) return total;
  return isCount(prompt) && isCount(answer) ? prompt + answer : null;
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && value <= MAX_TOKENS;
}
