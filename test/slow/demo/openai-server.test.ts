import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { startOpenAiServer } from '../../../cli/demo/openai-server.js';

const PROMPT = { model: 'demo-large', messages: [{ role: 'user', content: 'Why do lighthouses blink?' }], stream: true };

async function start(t: TestContext, tokensPerSecond = 1_000) {
  const server = await startOpenAiServer(tokensPerSecond);
  t.after(() => server.stop());
  const post = (body: object, signal: AbortSignal | null = null) =>
    fetch(`${server.url}/chat/completions`, {
      ...{ method: 'POST', body: JSON.stringify(body), headers: { 'content-type': 'application/json' }, signal },
    });
  return { server, post };
}

describe('the OpenAI-like server of the demo', () => {
  it('streams max_tokens words about the prompt, the same each time, then [DONE]', async (t) => {
    const { post } = await start(t);
    const [first, second] = await Promise.all([1, 2].map(async () => (await post({ ...PROMPT, max_tokens: 9 })).text()));
    assert.equal(first, second);
    const events = first?.trimEnd().split('\n\n') ?? [];
    assert.equal(events.pop(), 'data: [DONE]');
    const chunks = events.map((event) => JSON.parse(event.slice(6)) as { choices: { delta: { content?: string } }[] });
    const text = chunks.map(({ choices }) => choices[0]?.delta.content ?? '').join('');
    assert.equal(text.split(' ').length, 9);
    assert.match(text, /lighthouses/);
  });

  it('stops streaming when the client closes the connection', async (t) => {
    const { server, post } = await start(t, 20);
    const controller = new AbortController();
    const response = await post(PROMPT, controller.signal);
    assert.equal(server.openStreams(), 1);
    controller.abort();
    await assert.rejects(response.text());
    // A later request: its connection reaches the server after the close of the first one.
    await (await fetch(`${server.url}/models`)).text();
    assert.equal(server.openStreams(), 0);
  });

  it('lists its models and refuses a request without a model', async (t) => {
    const { server, post } = await start(t);
    const { data } = (await (await fetch(`${server.url}/models`)).json()) as { data: { id: string }[] };
    assert.deepEqual(
      data.map(({ id }) => id),
      ['demo-small', 'demo-large'],
    );
    assert.equal((await post({ ...PROMPT, model: '' })).status, 400);
    assert.equal((await post({ ...PROMPT, stream: false })).status, 400);
  });
});
