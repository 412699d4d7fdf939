import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadSettings } from '../../../../shared/settings/settings.js';
import { chatCompletionHandler } from '../../../../worker/builtin/chat/handler.js';
import { estimateTokens, tokensOf } from '../../../../worker/builtin/chat/tokens.js';
import { chatCompletion } from '../../../../worker/builtin/definitions.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { PROMPT, ask } from '../../../support/network/ask-upstream.js';
import { DONE, FINISH, delta, event, streaming, upstream } from '../../../support/network/upstream.js';
import { until } from '../../../support/until.js';

const USAGE = event({ choices: [], usage: { prompt_tokens: 8, completion_tokens: 34, total_tokens: 42 } });

describe('The rates of chat.completion', () => {
  it('come from the settings, each for a base URL without query and last slash; without settings there is none', () => {
    const rateOf = (env: Record<string, string>) =>
      chatCompletionHandler(loadSettings({ OPENAI_API_BASE_URLS: 'https://a.example/v1/?key=secret;https://b.example/v1', ...env })).rate;
    assert.deepEqual(rateOf({}), []);
    assert.deepEqual(rateOf({ CHAT_REQUESTS_PER_MINUTE: '0', CHAT_TOKENS_PER_MINUTE: '0' }), []);
    const both = rateOf({ CHAT_REQUESTS_PER_MINUTE: '60', CHAT_TOKENS_PER_MINUTE: '90000' });
    assert.deepEqual(
      both.map(({ group, limit, perMs, burst }) => [group, limit, perMs, burst]),
      [
        ['chat.requests', 60, 60_000, 6],
        ['chat.tokens', 90_000, 60_000, 9_000],
      ],
    );
    const [tokens, ...others] = rateOf({ CHAT_TOKENS_PER_MINUTE: '90000' });
    assert.deepEqual([tokens?.group, others], ['chat.tokens', []]);
    const by = tokens?.by as (task: object) => string | null;
    const keys = [0, 1, 2].map((server) => by({ input: { ...PROMPT, base_url_index: server }, item: null }));
    assert.deepEqual(keys, ['https://a.example/v1', 'https://b.example/v1', null]);
    assert.equal(tokens?.cost?.({ input: { ...PROMPT, max_tokens: 100 }, item: null }), 108);
  });

  it('estimate a token for four characters and the longest answer', () => {
    const messages = [{ role: 'user' as const, content: 'x'.repeat(10) }];
    assert.deepEqual([estimateTokens({ messages, max_tokens: 5 }), estimateTokens({ messages })], [8, 503]);
  });

  it('count what the server says that it used, if it says so in a number', async (t) => {
    for (const [usage, tokens] of [
      [{ total_tokens: 42, prompt_tokens: 1 }, 42],
      [{ prompt_tokens: 40, completion_tokens: 2 }, 42],
      [{ total_tokens: 0 }, 0],
      [{ total_tokens: '42' }, null],
      [{ total_tokens: -1 }, null],
      [{ total_tokens: 1e99 }, null],
      [{ completion_tokens: 2 }, null],
      [{}, null],
      [null, null],
    ] as const) {
      assert.equal(tokensOf(usage), tokens, JSON.stringify(usage));
    }
    const answers = [`${delta('a')}${FINISH}${USAGE}${DONE}`, `${delta('a')}${FINISH}${DONE}`];
    const spent = [];
    for (const answer of answers) {
      const { fake, output } = ask([await upstream(t, streaming(answer))]);
      await output;
      spent.push(fake.spent);
    }
    assert.deepEqual(spent, [[42], []]);
  });

  it('hold for the tasks of producers that do not know them, and the real usage replaces the estimate', async (t) => {
    const fleet = await TestFleet.start();
    t.after(() => fleet.stop());
    const keyPrefix = fleet.newPrefix();
    const url = await upstream(t, streaming(`${delta('a')}${FINISH}${USAGE}${DONE}`));
    await fleet.worker(keyPrefix, [], { openaiBaseUrls: [`${url}/`], chatTokensPerMinute: 1_000, chatRequestsPerMinute: 1_000 });
    const producer = fleet.producer({ keyPrefix });
    const { id } = await producer.enqueue(chatCompletion, PROMPT);
    assert.equal((await producer.result(chatCompletion, id)).content, 'a');
    const bucket = fleet.keys(keyPrefix).limiter(`rate:rate:group:chat.tokens#0:${url}`);
    const left = await until(
      async () => {
        const [arrival = 0] = ((await fleet.client.get(bucket)) ?? '0').split(' ').map(Number);
        const [seconds = 0] = (await fleet.client.time()).map(Number);
        return (arrival - seconds * 1_000) / 60;
      },
      // The estimate is 508 tokens.
      (tokens) => tokens <= 43,
    );
    assert.ok(left <= 43, `${left} tokens`);
    await fleet.emptied(keyPrefix);
  });
});
