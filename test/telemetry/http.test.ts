import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { z } from 'zod';
import { defineTask } from '../../worker/index.js';
import { TestDashboard } from '../dashboard/test-dashboard.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { KEEP } from '../support/task/keep.js';
import { RecordedTelemetry, isChildOf } from '../support/telemetry/recorded-telemetry.js';

const note = defineTask({ name: 'note.take', input: z.object({}), retention: KEEP });
const TRACE = '0af7651916cd43dd8448eb211c80319c';
const traceparent = `00-${TRACE}-b7ad6b7169203331-01`;

describe('The HTTP API with telemetry', () => {
  let fleet: TestFleet;
  let dashboard: TestDashboard;
  const recorded = new RecordedTelemetry();

  before(async () => {
    recorded.register();
    fleet = await TestFleet.start();
    dashboard = await TestDashboard.start(fleet.producer({ telemetry: recorded.telemetry() }), {}, { definitions: [note] });
  });
  afterEach(() => recorded.reset());
  after(async () => {
    await dashboard.stop();
    await fleet.stop();
    recorded.unregister();
  });

  it("continues the caller's trace in an enqueue and a stop", async () => {
    const headers = { traceparent };
    const added = await dashboard.send('POST', '/api/v1/tasks', {
      token: dashboard.tokens.operator,
      headers,
      body: { name: note.name, input: {} },
    });
    const { id } = added.body as { id: string };
    const [request] = await recorded.ended('POST /api/v1/tasks');
    const [send] = await recorded.ended('send note');
    assert.ok(request && send && isChildOf(send, request));
    assert.equal(request.spanContext().traceId, TRACE);
    assert.deepEqual(request.attributes, {
      'http.request.method': 'POST',
      'http.route': '/api/v1/tasks',
      'http.response.status_code': 202,
    });
    await dashboard.send('POST', `/api/v1/tasks/${id}/stop`, { token: dashboard.tokens.operator, headers, body: {} });
    const [stopping] = await recorded.ended('POST /api/v1/tasks/{id}/stop');
    const [stop] = await recorded.ended('stop');
    assert.ok(stopping && stop && isChildOf(stop, stopping));
    await dashboard.send('POST', `/api/tasks/stop/${id}`, { token: dashboard.tokens.operator, headers });
    assert.equal((await recorded.ended('POST /api/tasks/stop/{task_id}'))[0]?.spanContext().traceId, TRACE);
  });

  it('marks a refused call, and makes no span of a read', async () => {
    await dashboard.send('GET', '/api/v1/tasks', { token: dashboard.tokens.viewer, headers: { traceparent } });
    await dashboard.send('POST', '/api/v1/tasks', { token: dashboard.tokens.operator, body: { name: 'no.such', input: {} } });
    const [refused] = await recorded.ended('POST /api/v1/tasks');
    assert.equal(refused?.attributes['error.type'], 'UNKNOWN_TASK');
    assert.equal(refused?.parentSpanContext, undefined);
    assert.deepEqual(
      recorded.spans.map(({ name }) => name),
      ['POST /api/v1/tasks'],
    );
  });

  it('reports the depth of the queues', async () => {
    const depths = await recorded.series('taskfleet.queue.depth');
    const queued = depths.find(
      ({ attributes }) => attributes['messaging.destination.name'] === 'note' && attributes['taskfleet.queue.state'] === 'waiting',
    );
    assert.equal(queued?.value, 0);
  });
});
