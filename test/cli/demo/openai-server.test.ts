import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type OpenAiServerOptions, startOpenAiServer } from '../../../cli/demo/openai-server.js';
import { isFleetError } from '../../../shared/errors.js';
import { deferred } from '../../support/deferred.js';

const PROMPT = { model: 'demo-large', messages: [{ role: 'user', content: 'Why do lighthouses blink?' }] };

async function start(t: TestContext, options: OpenAiServerOptions = {}) {
  const server = await startOpenAiServer({ tokensPerSecond: Infinity, ...options });
  t.after(() => server.stop());
  const post = (body: unknown, init: RequestInit = {}) =>
    fetch(`${server.url}/chat/completions`, { method: 'POST', body: typeof body === 'string' ? body : JSON.stringify(body), ...init });
  return { server, post };
}

interface Answer {
  choices: { message: { content: string }; finish_reason: string }[];
  usage: { completion_tokens: number };
}

describe('the demo OpenAI server', () => {
  it('answers the same prompt with the same text, as long as asked for', async (t) => {
    const { post } = await start(t);
    const answers = (await Promise.all([1, 2].map(async () => (await post({ ...PROMPT, max_tokens: 12 })).json()))) as Answer[];
    const [first, second] = answers.map(({ choices }) => choices[0]);
    assert.deepEqual(first, second);
    assert.equal(first?.message.content.split(' ').length, 12);
    assert.equal(first.finish_reason, 'length');
    const free = (await (await post(PROMPT)).json()) as Answer;
    assert.equal(free.choices[0]?.finish_reason, 'stop');
    assert.equal(free.usage.completion_tokens, 120);
  });

  it('streams the text that it would give whole, then [DONE]', async (t) => {
    const { server, post } = await start(t);
    const whole = (await (await post({ ...PROMPT, max_tokens: 9 })).json()) as Answer;
    const events = (await (await post({ ...PROMPT, max_tokens: 9, stream: true })).text()).trimEnd().split('\n\n');
    assert.equal(events.pop(), 'data: [DONE]');
    const chunks = events.map((event) => JSON.parse(event.slice(6)) as { choices: { delta: { content?: string } }[] });
    assert.equal(chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join(''), whole.choices[0]?.message.content);
    assert.deepEqual([server.connections(), server.closedEarly()], [0, 0]);
  });

  it('keeps to its speed', async (t) => {
    const { post } = await start(t, { tokensPerSecond: 50 });
    const startedAt = performance.now();
    await (await post({ ...PROMPT, max_tokens: 11, stream: true })).text();
    assert.ok(performance.now() - startedAt >= 200);
  });

  it('counts open streams and those that the client closed', async (t) => {
    const closed = deferred<boolean>();
    const { server, post } = await start(t, { tokensPerSecond: 0.1, onStreamClosed: closed.resolve });
    const controller = new AbortController();
    await post({ ...PROMPT, stream: true }, { signal: controller.signal });
    assert.deepEqual([server.connections(), server.closedEarly()], [1, 0]);
    controller.abort();
    assert.equal(await closed.promise, true);
    assert.deepEqual([server.connections(), server.closedEarly()], [0, 1]);
  });

  it('lists its models', async (t) => {
    const { server } = await start(t);
    const { data } = (await (await fetch(`${server.url}/models`)).json()) as { data: { id: string }[] };
    assert.deepEqual(
      data.map(({ id }) => id),
      ['demo-small', 'demo-large'],
    );
  });

  it('refuses a wrong key, a bad request and what it does not have', async (t) => {
    const { server, post } = await start(t, { apiKey: 'right' });
    const authorization = { headers: { authorization: 'Bearer right' } };
    assert.equal((await post(PROMPT)).status, 401);
    assert.equal((await post(PROMPT, { headers: { authorization: 'Bearer wrong' } })).status, 401);
    assert.equal((await post(PROMPT, authorization)).status, 200);
    assert.equal((await post({ ...PROMPT, messages: [] }, authorization)).status, 400);
    assert.equal((await post('{', authorization)).status, 400);
    assert.equal((await fetch(`${server.url}/embeddings`, authorization)).status, 404);
    assert.equal(server.requests.length, 6);
  });

  it('refuses a speed that never gets anywhere', async () => {
    await assert.rejects(startOpenAiServer({ tokensPerSecond: 0 }), (error) => isFleetError(error, 'INVALID_OPTION'));
  });

  it('rejects when its port is taken', async (t) => {
    const { server } = await start(t);
    const port = Number(new URL(server.url).port);
    await assert.rejects(startOpenAiServer({ port }), { code: 'EADDRINUSE' });
  });
});
