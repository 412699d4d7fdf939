import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { ApiConnection } from '../../../cli/client/http-connection.js';
import { ApiClient } from '../../../cli/client/http.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { TestDashboard } from '../test-dashboard.js';

const fleet = await TestFleet.start();
after(() => fleet.stop());

test('a job of a plain BullMQ queue with any id is read, shown, followed, stopped and retried over HTTP', async (t) => {
  const producer = fleet.producer();
  await producer.ping();
  const dashboard = await TestDashboard.start(producer);
  t.after(() => dashboard.stop());
  const token = dashboard.tokens.operator;
  const client = new ApiClient(new ApiConnection({ url: dashboard.url, token }));
  const { queues, redis, keys } = producer.store;
  await redis.sadd(keys.queues, 'plain');
  for (const id of ['report for müller/42', '😀', 'x'.repeat(500), 'a%2Fb?c#d', '<script>']) {
    await queues.get('plain').add('plain.work', {}, { jobId: id });
    const path = `/api/v1/tasks/${encodeURIComponent(id)}`;
    const got = await dashboard.send('GET', path, { token });
    assert.deepEqual([got.status, (got.body as { id: string }).id], [200, id]);
    assert.equal(
      (await dashboard.send('GET', `/tasks/${encodeURIComponent(id)}`, { token, headers: { Accept: 'text/html' } })).status,
      200,
    );
    assert.equal((await client.get(id))?.state, 'queued');
    const stopped = await dashboard.send('POST', `${path}/stop`, { token, body: {} });
    assert.deepEqual([stopped.status, (stopped.body as { outcome: string }).outcome], [200, 'cancelled']);
    const followed = await dashboard.send('GET', `${path}/events`, { token });
    assert.match(followed.text, /cancelled/);
    const retried = await dashboard.send('POST', `${path}/retry`, { token, body: {} });
    assert.equal(retried.status, 200, retried.text);
  }
});
