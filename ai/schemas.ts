import type { UIMessage, UIMessageChunk } from 'ai';
import { z } from 'zod';

/**
 * The `chunk` of a definition whose handler calls {@link emitUIMessageStream}: `events` of the definition are then typed. Checks the shape
 * only; the AI SDK checks the content where it is read.
 */
export const uiMessageChunk = z.looseObject({ type: z.string().min(1) }) as unknown as z.ZodType<UIMessageChunk, UIMessageChunk>;

/** A message of a chat, for the `input` and `output` of a definition. Checks the shape only. */
export const uiMessage = z.looseObject({
  id: z.string(),
  role: z.enum(['system', 'user', 'assistant']),
  parts: z.array(z.looseObject({ type: z.string() })),
}) as unknown as z.ZodType<UIMessage, UIMessage>;
