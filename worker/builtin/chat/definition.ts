import { z } from 'zod';
import { defineTask } from '../../../shared/task/definition.js';

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

/** The parsed input of {@link chatCompletion}. */
export type ChatCompletionInput = z.output<typeof chatCompletionInput>;
export type ChatCompletionOutput = z.output<typeof chatCompletionOutput>;

/**
 * A chunk of `chat.completion`: text as a plain string; a piece of the model's reasoning; or a piece of a tool call. The first piece
 * of a call has `id` and `name`, and all pieces with the same `index` together form the `arguments`.
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
 * OPENAI_API_BASE_URLS. The input cannot choose other URLs or keys: other fields are refused.
 *
 * Text is emitted as plain strings, reasoning and tool calls as {@link ChatCompletionChunk}s with a `type`. The output has the whole
 * text as `content`, `reasoning_content` and `tool_calls` (null if there were none), `model` as named by the server, `finish_reason`
 * (null only if the server answered with a single JSON object without one), `chunks`, the number of pieces of text, and `usage` as
 * counted by the server, or null.
 *
 * Five attempts, unless a retry would get the same answer. A retry restarts the completion: the chunks of failed attempts stay in the
 * task's events, and the output is that of the last attempt.
 */
export const chatCompletion = defineTask({
  name: 'chat.completion',
  queue: 'chat',
  input: chatCompletionInput,
  output: chatCompletionOutput,
  retry: { attempts: 5, backoff: { type: 'exponential', delayMs: 1_000, jitter: 0.5 } },
  retention: { completed: { count: 10_000 }, failed: { count: 10_000 } },
});
