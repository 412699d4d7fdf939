import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener } from 'node:http';
import { text } from 'node:stream/consumers';
import { type TestContext, describe, it } from 'node:test';
import { RetryAfter } from '../../../../shared/attempt/retry-after.js';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { chatCompletionHandler } from '../../../../worker/builtin/chat/handler.js';
import { chatCompletion } from '../../../../worker/builtin/definitions.js';
import { isFinalAnswer, retryAfterOf } from '../../../../worker/builtin/openai/exchange.js';
import { KEY, PROMPT, ask, assertFails } from '../../../support/network/ask-upstream.js';
import { DONE, FINISH, delta, streaming, upstream } from '../../../support/network/upstream.js';
import { createFakeContext, runHandler } from '../../../support/task/task-context.js';

const refusing =
  (status: number, body: string, headers = {}): RequestListener =>
  (_, response) =>
    void response.writeHead(status, headers).end(body);

/** Starts a server that refuses `stream_options` and otherwise completes; records whether each request has them. */
async function olderServer(t: TestContext, refuse: RequestListener): Promise<{ url: string; asked: boolean[] }> {
  const asked: boolean[] = [];
  const answer = async (request: IncomingMessage, response: Parameters<RequestListener>[1]): Promise<void> => {
    asked.push('stream_options' in (JSON.parse(await text(request)) as object));
    (asked.at(-1) ? refuse : streaming(delta('a') + FINISH + DONE))(request, response);
  };
  return { url: await upstream(t, (request, response) => void answer(request, response)), asked };
}

describe('A server that refuses stream_options', () => {
  const refusals: [string, RequestListener][] = [
    ['400', refusing(400, '{"error":{"message":"Unrecognized request argument supplied: stream_options"}}')],
    ['422', refusing(422, '{"detail":[{"loc":["body","stream_options"],"msg":"extra fields not permitted"}]}')],
    ['500', refusing(500, "unexpected keyword argument 'include_usage'")],
    ['200 and an error', refusing(200, '{"error":"stream_options is not supported"}')],
    ['an error in the stream', streaming('data: {"object":"error","message":"stream_options?","code":400}\n\n')],
  ];
  for (const [what, refuse] of refusals) {
    it(`with ${what} gets the request again without them, and none with them later`, async (t) => {
      const [older, other] = [await olderServer(t, refuse), await olderServer(t, streaming(delta('b') + FINISH))];
      const handler = chatCompletionHandler(resolveSettings({ openaiBaseUrls: [older.url, other.url] }));
      const complete = (server: number) =>
        runHandler(chatCompletion, handler, createFakeContext(chatCompletion, { ...PROMPT, base_url_index: server }));
      const contents = [];
      for (const server of [0, 0, 1]) contents.push((await complete(server)).content);
      assert.deepEqual(contents, ['a', 'a', 'b']);
      assert.deepEqual([older.asked, other.asked], [[true, false, false], [true]]);
    });
  }

  it('gets no second request after another refusal, a limit, or its first output', async (t) => {
    const others = [
      refusing(400, '{"error":"no such model"}'),
      refusing(429, 'slow down: {"stream_options":{}}'),
      streaming(`${delta('x')}data: {"error":"stream_options"}\n\n`),
    ];
    for (const refuse of others) {
      const { url, asked } = await olderServer(t, refuse);
      await assert.rejects(ask([url]).output);
      assert.deepEqual(asked, [true]);
    }
  });
});

describe('A refusal', () => {
  it('is final for missing credit or a bad prompt, also with a temporary status', async (t) => {
    for (const code of ['insufficient_quota', 'context_length_exceeded']) {
      const url = await upstream(
        t,
        refusing(429, JSON.stringify({ error: { message: 'no', type: code, code: null } }), { 'retry-after': '1' }),
      );
      await assertFails(ask([url]).output, false, /answered 429: /);
    }
    assert.ok(isFinalAnswer({ status: 429, codes: ['42902'] }));
    assert.ok(!isFinalAnswer({ status: 500, codes: ['invalid_request_error'] }), 'a status takes precedence');
  });

  it('quotes the text of an HTML page', async (t) => {
    const url = await upstream(
      t,
      refusing(502, `<html><head><title>502 Bad Gateway</title></head>\r\n<body><hr>nginx ${KEY}</body></html>`),
    );
    await assertFails(ask([url], { keys: [KEY] }).output, true, /answered 502: 502 Bad Gateway nginx \*\*\*$/);
  });

  it('is cut to its limit', async (t) => {
    const url = await upstream(t, refusing(500, 'y'.repeat(5 * 1_048_576)));
    await assertFails(ask([url]).output, true, /answered 500: y{500}$/);
  });

  it('sets the wait before the next attempt', async (t) => {
    const url = await upstream(t, refusing(429, 'later', { 'retry-after': '7' }));
    await assert.rejects(ask([url]).output, (error) => error instanceof RetryAfter && 'ms' in error.wait && error.wait.ms === 7_000);
  });
});

describe('retryAfterOf', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  const cases: [Record<string, string>, number | null][] = [
    [{}, null],
    [{ 'retry-after': '2' }, 2_000],
    [{ 'retry-after': '0.5' }, 500],
    [{ 'retry-after': '0' }, null],
    [{ 'retry-after': '-5' }, null],
    [{ 'retry-after': 'soon' }, null],
    [{ 'retry-after': '999999' }, 999_999_000],
    [{ 'retry-after': '1e400' }, null],
    [{ 'retry-after': 'Thu, 01 Jan 2026 00:00:09 GMT' }, 9_000],
    [{ 'retry-after': 'Wed, 31 Dec 2025 23:59:59 GMT' }, null],
    [{ 'retry-after': '2', 'retry-after-ms': '1500' }, 1_500],
    [{ 'retry-after': '2', 'retry-after-ms': 'x' }, 2_000],
  ];
  for (const [headers, ms] of cases)
    it(`of ${JSON.stringify(headers)} is ${ms}`, () => assert.equal(retryAfterOf(new Headers(headers), now), ms));
});
