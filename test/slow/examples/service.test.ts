import assert from 'node:assert/strict';
import { test } from 'node:test';
import { installExample } from '../../support/examples/example.js';
import { ownPort } from '../../support/process/ports.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { post, take } from './stories.js';

test('the service answers chats one message at a time, stops them, traces them and shuts down', async (t) => {
  const redis = await startTestRedis();
  t.after(() => redis.stop());
  const example = await installExample(t, 'service', { env: { REDIS_URL: redis.url } });
  await example.run('npm', ['run', 'typecheck']);
  await example.run('npm', ['test']);

  const port = await ownPort();
  const service = await example.startScript('start', { PORT: String(port) });
  await service.waitForLine(/"msg":"Listening"/);
  const chat = `http://127.0.0.1:${port}/chats/chat-1`;
  const send = async (message: string): Promise<string> => {
    const response = await post(`${chat}/messages`, { message });
    assert.equal(response.status, 202);
    return ((await response.json()) as { id: string }).id;
  };

  const long = await send('word '.repeat(1_500));
  const next = await send('Hello');
  await take(`${chat}/answers/${long}`, {}, ({ event }) => event === 'chunk');
  const waiting = await fetch(`http://127.0.0.1:${port}/fleet/api/v1/tasks/${next}`);
  assert.equal(((await waiting.json()) as { state: string }).state, 'queued');
  const stopped = await post(`http://127.0.0.1:${port}/fleet/api/v1/tasks/${long}/stop?wait_ms=20000`, {});
  assert.equal(((await stopped.json()) as { outcome: string }).outcome, 'cancelled');
  const answered = await take(`${chat}/answers/${next}`, {});
  assert.match(answered.at(-1)?.data ?? '', /"state":"completed"/);

  const ids = [await send('word '.repeat(1_500)), await send('Hello')];
  const receipts = (await (await post(`${chat}/stop`, {})).json()) as { id: string; outcome: string }[];
  assert.deepEqual(new Set(receipts.map(({ id, outcome }) => `${id} ${outcome}`)), new Set(ids.map((id) => `${id} cancelled`)));

  const schedules = await fetch(`http://127.0.0.1:${port}/fleet/api/v1/schedules`);
  assert.match(await schedules.text(), /"nightly-report"/);
  service.kill('SIGTERM');
  assert.deepEqual(await service.exit, { code: 0, signal: null }, service.stderr.text);
  for (const span of ['send chat', 'process chat.answer']) assert.match(service.stdout.text, new RegExp(`name: '${span}'`), span);
  assert.match(service.stderr.text, /"name":"service".*"component":"worker".*"msg":"Shutting down/);
});
