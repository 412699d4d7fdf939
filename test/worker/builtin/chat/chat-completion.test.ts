import assert from 'node:assert/strict';
import type { IncomingMessage, RequestListener } from 'node:http';
import { describe, it } from 'node:test';
import { startOpenAiServer } from '../../../../cli/demo/openai-server.js';
import { resolveSettings } from '../../../../shared/settings/settings.js';
import { StopRequested } from '../../../../shared/stop/cause.js';
import { chatCompletionHandler } from '../../../../worker/builtin/chat/handler.js';
import { chatCompletion } from '../../../../worker/builtin/definitions.js';
import { deferred } from '../../../support/deferred.js';
import { KEY, PROMPT, ask, assertFails } from '../../../support/network/ask-upstream.js';
import { DONE, FINISH, delta, upstream } from '../../../support/network/upstream.js';
import { createFakeContext, runHandler } from '../../../support/task/task-context.js';

describe('chat.completion', () => {
  it('emits each delta as a string and returns the whole completion', async (t) => {
    const server = await startOpenAiServer(1_000);
    t.after(() => server.stop());
    const { fake, output } = ask([server.url], { input: { max_tokens: 30 } });
    const { content, ...rest } = await output;
    assert.deepEqual(fake.emitted.length, 30);
    assert.equal(fake.emitted.join(''), content);
    assert.match(content, /queues|workers/);
    assert.deepEqual(rest, {
      reasoning_content: null,
      tool_calls: null,
      model: 'demo-small',
      finish_reason: 'length',
      chunks: 30,
      usage: { prompt_tokens: 6, completion_tokens: 30, total_tokens: 36 },
    });
    assert.equal(server.openStreams(), 0);
  });

  it('sends the input, and only the key of the chosen server', async (t) => {
    const asked: unknown[] = [];
    const listener =
      (name: string): RequestListener =>
      async (request, response) => {
        const body = (await request.setEncoding('utf8').toArray()).join('');
        asked.push([name, request.method, request.url, request.headers.authorization, JSON.parse(body)]);
        response.writeHead(200, { 'content-type': 'text/event-stream' }).end(`${delta('a')}${FINISH}${DONE}`);
      };
    const urls = [`${await upstream(t, listener('first'))}/`, await upstream(t, listener('second'))];
    await ask(urls, { keys: [KEY], input: { max_tokens: 30, temperature: 0.5, stop: ['END'] } }).output;
    await ask(urls, { keys: [KEY], input: { base_url_index: 1 } }).output;
    const [path, streamed] = ['/v1/chat/completions', { stream: true, stream_options: { include_usage: true } }];
    assert.deepEqual(asked, [
      ['first', 'POST', path, `Bearer ${KEY}`, { ...PROMPT, max_tokens: 30, temperature: 0.5, stop: ['END'], ...streamed }],
      ['second', 'POST', path, undefined, { ...PROMPT, ...streamed }],
    ]);
  });

  it('closes the connection to the server on an abort, and throws the reason', async (t) => {
    const closed = deferred();
    const url = await upstream(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(delta('a').repeat(3));
      response.once('close', () => closed.resolve());
    });
    const reason = new StopRequested('changed my mind', 'a test');
    const { fake, output } = ask([url], { onEmit: () => fake.emitted.length === 3 && fake.abort(reason) });
    await assert.rejects(output, (error) => error === reason);
    await closed.promise;
    assert.equal(fake.emitted.length, 3);
  });

  it('throws the reason of an abort before the answer or before the request', async (t) => {
    const reason = new StopRequested();
    const asked = deferred();
    const gone = deferred();
    let requests = 0;
    const url = await upstream(t, (request: IncomingMessage) => {
      requests += 1;
      request.socket.once('close', () => gone.resolve());
      asked.resolve();
    });
    const { fake, output } = ask([url]);
    await asked.promise;
    fake.abort(reason);
    await assert.rejects(output, (error) => error === reason);
    await gone.promise;
    const late = createFakeContext(chatCompletion, PROMPT);
    late.abort(reason);
    const handler = chatCompletionHandler(resolveSettings({ openaiBaseUrls: [url] }));
    await assert.rejects(runHandler(chatCompletion, handler, late), (error) => error === reason);
    assert.equal(requests, 1);
  });

  for (const status of [408, 409, 425, 429, 500, 503]) {
    it(`is retried after ${status}`, async (t) => {
      const url = await upstream(t, (_, response) => response.writeHead(status).end('try later'));
      await assertFails(ask([url]).output, true, new RegExp(`^${url} answered ${status}: try later$`));
    });
  }

  for (const status of [307, 400, 401, 404, 422]) {
    it(`is not retried after ${status}`, async (t) => {
      const url = await upstream(t, (_, response) => response.writeHead(status, { location: '/elsewhere' }).end());
      await assertFails(ask([url]).output, false, new RegExp(`^${url} answered ${status}$`));
    });
  }

  it('quotes at most 500 characters of a refusal, never the key', async (t) => {
    const url = await upstream(t, (_, response) => response.writeHead(401).end(`bad key ${KEY}: ${'x'.repeat(100_000)}`));
    const { output } = ask([url], { keys: [KEY] });
    await assertFails(output, false, /answered 401: bad key \*\*\*: x+$/);
    await output.catch((error: Error) => assert.equal(error.message.split('401: ')[1]?.length, 500));
  });

  it('closes the connection of an endless refusal', async (t) => {
    const closed = deferred();
    const url = await upstream(t, (_, response) => {
      response.writeHead(500).write('y'.repeat(50_000));
      response.once('close', () => closed.resolve());
    });
    await assertFails(ask([url]).output, true, /answered 500: y{500}$/);
    await closed.promise;
  });

  it('is retried if the server is unreachable', async () => {
    const server = await startOpenAiServer();
    await server.stop();
    await assertFails(ask([server.url], { keys: [KEY] }).output, true, /^Cannot reach http:\/\/127\.0\.0\.1:\d+\/v1: .*ECONNREFUSED/);
  });

  it('fails after a silence of the server', async (t) => {
    const closed = deferred();
    const url = await upstream(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' }).write(delta('a'));
      response.once('close', () => closed.resolve());
    });
    await assertFails(ask([url], { idleTimeoutMs: 2_000 }).output, true, /sent nothing for 2000 ms$/);
    await closed.promise;
    const mute = await upstream(t, () => undefined);
    await assertFails(ask([mute], { idleTimeoutMs: 30 }).output, true, /sent nothing for 30 ms$/);
  });

  it('waits for a slow server that is not silent', async (t) => {
    const url = await upstream(t, (_, response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      let left = 12;
      const timer = setInterval(() => {
        left -= 1;
        if (left > 0) return response.write(': thinking\n\n');
        clearInterval(timer);
        return response.end(`${delta('a')}${FINISH}${DONE}`);
      }, 500);
    });
    assert.equal((await ask([url], { idleTimeoutMs: 5_000 }).output).content, 'a');
  });

  it('keeps the query of a base URL, and out of errors', async (t) => {
    const asked: string[] = [];
    const url = await upstream(t, (request, response) => {
      asked.push(request.url ?? '');
      response.writeHead(500).end();
    });
    await assertFails(ask([`${url}/?api-version=${KEY}`]).output, true, /\/v1\/ answered 500$/);
    assert.deepEqual(asked, [`/v1/chat/completions?api-version=${KEY}`]);
  });

  it('fails for good for an unknown or unusable server', async () => {
    await assertFails(ask([]).output, false, /^No server to ask: OPENAI_API_BASE_URLS is not set$/);
    await assertFails(
      ask(['http://127.0.0.1:1/v1'], { input: { base_url_index: 1 } }).output,
      false,
      /^No server with base_url_index 1: OPENAI_API_BASE_URLS has 1, numbered from 0$/,
    );
    await assertFails(ask([`http://me:${KEY}@127.0.0.1:1/v1`]).output, false, /has a user name or password/);
    await assertFails(
      ask(['http://127.0.0.1:1/v1'], { keys: [`${KEY}\n${KEY}`] }).output,
      false,
      /characters that are not allowed in a header$/,
    );
  });

  it('refuses an input with a server URL or a key', () => {
    for (const field of ['base_url', 'api_key', 'stream', 'n']) {
      assert.equal(chatCompletion.input.safeParse({ ...PROMPT, [field]: 'x' }).success, false, field);
    }
    for (const bad of [{ messages: [] }, { model: '' }, { base_url_index: -1 }, { messages: [{ role: 'root', content: '' }] }]) {
      assert.equal(chatCompletion.input.safeParse({ ...PROMPT, ...bad }).success, false, JSON.stringify(bad));
    }
  });
});
