import { z } from 'zod';
import { defineTask } from '../definition.js';

const chatCompletionInput = z.strictObject({
  model: z.string().min(1).max(200),
  messages: z
    .array(z.strictObject({ role: z.enum(['system', 'user', 'assistant', 'tool', 'developer']), content: z.string() }))
    .min(1)
    .max(1_000),
  base_url_index: z.int().min(0).default(0),
  temperature: z.number().min(0).max(2).optional(),
  max_tokens: z.int().min(1).optional(),
  top_p: z.number().min(0).max(1).optional(),
  stop: z.union([z.string().min(1), z.array(z.string().min(1)).min(1).max(4)]).optional(),
});

const toolCall = z.strictObject({
  id: z.string().nullable(),
  type: z.literal('function'),
  function: z.strictObject({ name: z.string(), arguments: z.string() }),
});

const chatCompletionOutput = z.strictObject({
  content: z.string(),
  reasoning_content: z.string().nullable(),
  tool_calls: z.array(toolCall).nullable(),
  model: z.string(),
  finish_reason: z.string().nullable(),
  chunks: z.int().min(0),
  usage: z.record(z.string(), z.unknown()).nullable(),
});

/** What the handler of {@link chatCompletion} gets. */
export type ChatCompletionInput = z.output<typeof chatCompletionInput>;
export type ChatCompletionOutput = z.output<typeof chatCompletionOutput>;

/**
 * What `chat.completion` emits: text as a plain string; a piece of the model's reasoning; or a piece of a call of a tool, of which
 * the first has `id` and `name`, and all of the same `index` together have the `arguments`.
 */
export type ChatCompletionChunk =
  | string
  | { readonly type: 'reasoning'; readonly text: string }
  | {
      readonly type: 'tool_call';
      readonly index: number;
      readonly id: string | null;
      readonly name: string | null;
      readonly arguments: string;
    };

/**
 * Streams a completion from the OpenAI-compatible server that `base_url_index` (default 0, the first) picks from
 * OPENAI_API_BASE_URLS. Where requests go and with which key is never up to the input: other fields are refused.
 *
 * Each piece of text is emitted as a plain string, reasoning and calls of tools as a {@link ChatCompletionChunk} with a `type`. The
 * output has the whole text as `content`, `reasoning_content` and `tool_calls` (null if there were none), `model` as the server
 * named it, `finish_reason` (null only if the server answered with one JSON object that has none), `chunks` = how many pieces of
 * text there were, and `usage` as the server counted it, null if it did not.
 *
 * Three attempts, unless the server would answer the same again. A retry starts the completion again: what a failed attempt emitted stays in the task's events, before
 * those of the next attempt; the output is of the last attempt alone.
 */
export const chatCompletion = defineTask({
  name: 'chat.completion',
  queue: 'chat',
  input: chatCompletionInput,
  output: chatCompletionOutput,
  retry: { attempts: 3, backoff: { type: 'exponential', delayMs: 1_000, jitter: 0.5 } },
  retention: { completed: { ageMs: 3_600_000, count: 10_000 }, failed: { ageMs: 7 * 24 * 3_600_000, count: 10_000 } },
});
