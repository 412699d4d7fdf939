import type { LanguageModelV4StreamPart } from '@ai-sdk/provider';
import { MockLanguageModelV4, simulateReadableStream } from 'ai/test';

const usage = {
  inputTokens: { total: 1, noCache: 1, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: 1, text: 1, reasoning: 0 },
};

export const finish = (reason: 'stop' | 'tool-calls' = 'stop'): LanguageModelV4StreamPart => ({
  type: 'finish',
  finishReason: { unified: reason, raw: reason },
  usage,
});

export const say = (...words: string[]): LanguageModelV4StreamPart[] => [
  { type: 'text-start', id: '1' },
  ...words.map((delta) => ({ type: 'text-delta' as const, id: '1', delta })),
  { type: 'text-end', id: '1' },
];

/** A model that streams these parts, 10 ms apart: one list for each call. */
export function modelOf(...calls: LanguageModelV4StreamPart[][]): MockLanguageModelV4 {
  let call = 0;
  return new MockLanguageModelV4({
    doStream: async ({ abortSignal }) => {
      const chunks = calls[Math.min(call++, calls.length - 1)] ?? [];
      const stream = simulateReadableStream({ chunkDelayInMs: 10, chunks });
      return { stream: abortSignal ? stream.pipeThrough(new TransformStream(), { signal: abortSignal }) : stream };
    },
  });
}
