import assert from 'node:assert/strict';
import { UnrecoverableError } from 'bullmq';
import { resolveSettings } from '../../../shared/settings/settings.js';
import { type ChatCompletionOptions, chatCompletionHandler } from '../../../worker/builtin/chat/handler.js';
import { type ChatCompletionOutput, chatCompletion } from '../../../worker/builtin/definitions.js';
import { type FakeContext, type FakeContextOptions, createFakeContext, runHandler } from '../task/task-context.js';

export const KEY = 'sk-test-not-a-real-key';
export const PROMPT = { model: 'demo-small', messages: [{ role: 'user' as const, content: 'Tell me about queues and workers' }] };

interface Asked extends FakeContextOptions, ChatCompletionOptions {
  readonly keys?: readonly string[];
  readonly input?: object;
}

/** A completion in progress. */
interface Asking {
  readonly fake: FakeContext<unknown>;
  readonly output: Promise<ChatCompletionOutput>;
}

/** Runs `chat.completion` once against the servers, with a new handler. */
export function ask(urls: readonly string[], { keys = [], input = {}, idleTimeoutMs, ...options }: Asked = {}): Asking {
  const settings = resolveSettings({ openaiBaseUrls: urls, openaiKeys: keys });
  const fake = createFakeContext(chatCompletion, { ...PROMPT, ...input }, options);
  const handler = chatCompletionHandler(settings, idleTimeoutMs === undefined ? {} : { idleTimeoutMs });
  return { fake, output: runHandler(chatCompletion, handler, fake) };
}

/** Asserts that the output fails: with a plain Error if it may be retried, else with an UnrecoverableError. */
export async function assertFails(output: Promise<unknown>, retried: boolean, message: RegExp): Promise<void> {
  await assert.rejects(output, (error: Error) => {
    assert.match(error.message, message);
    assert.equal(error instanceof UnrecoverableError, !retried, error.message);
    assert.ok(!`${error.message}${String(error.cause)}`.includes(KEY), 'the key is in the message');
    return true;
  });
}
