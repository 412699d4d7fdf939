import assert from 'node:assert/strict';
import type { RequestListener } from 'node:http';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { MAX_LIST_BYTES, listModels } from '../../../../worker/builtin/models/model-list.js';
import { upstreamAt } from '../../../../worker/builtin/openai/upstream.js';
import { deferred } from '../../../support/deferred.js';
import { upstream } from '../../../support/network/upstream.js';
import { until } from '../../../support/until.js';

const KEY = 'sk-test-not-a-real-key';
const QUERY = 'q-test-not-a-real-key/+';

function list(url: string, { timeoutMs = 10_000, signal = new AbortController().signal } = {}) {
  const base = `${url}?api-key=${encodeURIComponent(QUERY)}&v=1`;
  return listModels(upstreamAt(resolveSettings({ openaiBaseUrls: [base], openaiKeys: [KEY] }), 0), { timeoutMs, signal });
}

/** Asserts a rejection with one short sentence that names the server without its key and query. */
async function assertFails(url: string, message: RegExp, options?: Parameters<typeof list>[1]): Promise<void> {
  await assert.rejects(list(url, options), (error: Error) => {
    assert.match(error.message, message);
    assert.ok(error.message.includes(url), error.message);
    assert.ok(error.message.length < 700, `${error.message.length} characters`);
    for (const secret of [KEY, QUERY, encodeURIComponent(QUERY)]) assert.ok(!error.message.includes(secret), error.message);
    return true;
  });
}

const answering =
  (body: string, status = 200): RequestListener =>
  (_, response) =>
    void response.writeHead(status).end(body);

describe('A list of models', () => {
  it('is an array, bare or under data; entries that are not models are left out', async (t) => {
    for (const [body, models] of [
      ['{"object":"list","data":[{"id":"a"},5,null,[],{"id":"b"}]}', [{ id: 'a' }, { id: 'b' }]],
      ['[{"id":"a"}]', [{ id: 'a' }]],
      ['{"data":[]}', []],
      ['\uFEFF[]', []],
    ] as const) {
      assert.deepEqual(await list(await upstream(t, answering(body))), models, body);
    }
  });

  it('fails for any other answer, in a sentence without secrets', async (t) => {
    const echo: RequestListener = (request, response) =>
      void response.writeHead(401).end(`Bad ${request.headers.authorization} for ${request.url}`);
    await assertFails(await upstream(t, echo), /answered 401: Bad Bearer \*\*\* for \/v1\/models\?\*\*\*$/);
    const parts: RequestListener = (_, response) =>
      void response.writeHead(500).end(`${QUERY}, ${encodeURIComponent(QUERY)}, ${QUERY.replace('/', '\\/')}`);
    await assertFails(await upstream(t, parts), /answered 500: \*\*\*, \*\*\*, \*\*\*$/);
    await assertFails(
      await upstream(t, (_, response) => void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()),
      /answered 302$/,
    );
    await assertFails(await upstream(t, answering(`<html>${KEY}`)), /a list that is not JSON: <html>\*\*\*$/);
    await assertFails(await upstream(t, answering('')), /a list that is not JSON/);
    for (const body of ['null', '5', '{}', '{"data":{}}', '{"error":"no"}', '[1,2]', '{"data":[null]}']) {
      await assertFails(await upstream(t, answering(body)), /an answer that is not a list of models: /);
    }
    await assertFails(
      await upstream(t, answering(`[{"id":"a","x":${'['.repeat(50_000)}${']'.repeat(50_000)}}]`)),
      /nested deeper than 100 levels/,
    );
    const cut: RequestListener = (_, response) =>
      void response.writeHead(200, { 'content-length': 100 }).write('[', () => response.destroy());
    await assertFails(await upstream(t, cut), /broke off: /);
  });

  it('fails if it is too long, and its connection is closed', async (t) => {
    const closed = deferred();
    const piece = Buffer.alloc(1_048_576, ' ');
    const url = await upstream(t, (_, response) => {
      response.once('close', () => closed.resolve());
      const send = (): void => void (response.destroyed || response.write(piece, send));
      send();
    });
    await assertFails(url, new RegExp(`a list of more than ${MAX_LIST_BYTES / 1_048_576} MiB`));
    await closed.promise;
  });

  it('fails if the server is too slow, also halfway, and its connection is closed', async (t) => {
    for (const listener of [() => undefined, (_: unknown, response: Parameters<RequestListener>[1]) => void response.write('[')]) {
      const open = new Set<Socket>();
      const url = await upstream(t, (request, response) => {
        open.add(request.socket.once('close', () => open.delete(request.socket)));
        listener(request, response);
      });
      await assertFails(url, /did not list its models within 100 ms$/, { timeoutMs: 100 });
      await until(
        () => open.size,
        (size) => size === 0,
      );
    }
  });

  it('throws the reason of an abort before and during an answer', async (t) => {
    const reason = new StopRequested();
    await assert.rejects(list('http://127.0.0.1:1', { signal: AbortSignal.abort(reason) }), (error) => error === reason);
    const controller = new AbortController();
    const url = await upstream(t, (_, response) => void response.write('[', () => controller.abort(reason)));
    await assert.rejects(list(url, { signal: controller.signal }), (error) => error === reason);
  });
});
