import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { Producer, TaskEvent } from '../../../producer/index.js';
import type { JobEvents } from '../../../producer/wait/events.js';
import type { StreamHub } from '../../../producer/wait/stream-reader.js';
import { Waiter } from '../../../producer/wait/waiter.js';
import { Watch } from '../../../producer/wait/watch.js';
import { type Keys, createKeys } from '../../../shared/keys.js';
import type { TaskReader } from '../../../shared/task/task-reader.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { until } from '../../support/until.js';

/** Long enough for another worker to start an attempt and emit events before the first one learns that its own has ended. */
const SLOW_MS = 1_500;

describe('The events of a retried task', () => {
  let fleet: TestFleet;
  let keys: Keys;
  let keyPrefix: string;
  let producer: Producer;
  let task: ScriptedTask;
  let proxy: FaultProxy;

  before(async () => {
    fleet = await TestFleet.start();
    proxy = await FaultProxy.start(fleet.redis.port);
  });
  after(async () => {
    await proxy.heal();
    await fleet.stop();
    await proxy.stop();
  });

  function open(): void {
    keyPrefix = fleet.newPrefix();
    keys = createKeys(keyPrefix);
    producer = fleet.producer({ keyPrefix });
    task = new ScriptedTask('attempts.task', { retry: { attempts: 2, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } });
  }

  const inStream = async (id: string): Promise<string> =>
    (await fleet.client.xrange(keys.events(id), '-', '+')).map(([, [, , , data]]) => String(JSON.parse(data ?? ''))).join(' ');

  it('start each attempt with its number, even if another worker starts the next attempt first', async () => {
    open();
    await fleet.worker(keyPrefix, [task.handler], { redisUrl: proxy.url });
    const { id } = await producer.enqueue(task.definition, null);
    const first = await task.call(0);
    const live = collect(producer.events(id));
    first.context.emit('one');
    await until(
      () => inStream(id),
      (text) => text.endsWith('one'),
    );
    await fleet.worker(keyPrefix, [task.handler]);
    proxy.delay(SLOW_MS);
    first.throws(new Error('once more'));
    const second = await task.call(1);
    second.context.emit('two');
    await until(
      () => inStream(id),
      (text) => text.includes('two') && text.includes('retrying'),
    );
    const lateEvents = producer.events(id);
    const now = await lateEvents.next();
    const late = collect(lateEvents);
    await proxy.heal();
    second.returns();
    await producer.result(id);
    const again = await collect(producer.events(id));
    // `retrying` may be missing if it came too late.
    assert.match(textOf(await live), /^queued running:1 one (retrying:1 )?running:2 two completed$/);
    assert.equal(now.value && textOf([now.value]), 'queued');
    assert.match(textOf(await late), /^running:1 one (retrying:1 )?running:2 two completed$/);
    assert.match(textOf(again), /^queued running:1 one (retrying:1 )?running:2 two completed$/);
    const resumed = collect(producer.events(id, { after: again.find(({ type }) => type === 'chunk')?.id ?? '' }));
    assert.match(textOf(await resumed), /^(retrying:1 )?running:2 two completed$/);
  });

  it('yield missed events before the current state', async () => {
    open();
    await fleet.worker(keyPrefix, [task.handler]);
    const { id } = await producer.enqueue(task.definition, null);
    const first = await task.call(0);
    first.context.emit('one');
    await until(
      () => inStream(id),
      (text) => text.endsWith('one'),
    );
    const [began] = (await fleet.client.xrange(keys.events(id), '-', '+')).map(([entry]) => entry);
    first.throws(new Error('once more'));
    const second = await task.call(1);
    const resumed = producer.events(id, { after: began ?? '' });
    const { value } = await resumed.next();
    assert.equal(value && textOf([value]), 'one');
    second.context.emit('two');
    second.returns();
    assert.match(textOf(await collect(resumed)), /^(retrying:1 )?running:2 two completed$/);
  });

  it("yield an attempt's events before the next attempt starts, even if they arrive late", async () => {
    open();
    await fleet.worker(keyPrefix, [task.handler]);
    const { id } = await producer.enqueue(task.definition, null);
    const first = await task.call(0);
    const { redis, reader } = fleet.store({ keyPrefix });
    const deaf = { follow: silence } as unknown as StreamHub;
    let reads = 0;
    const counted = { read: (ids: readonly string[]) => ((reads += 1), reader.read(ids, 'whole')) } as unknown as TaskReader;
    const watch = new Watch({
      clock: Date,
      redis,
      reader: counted,
      keys,
      hub: deaf,
      waiter: new Waiter({ listen: silence } as unknown as JobEvents, () => Promise.resolve()),
      recheckMs: 20,
    });
    const events = watch.events(id, {});
    await events.next();
    const began = await events.next();
    const next = events.next();
    // By now the follower has read the stream and is waiting.
    await until(
      () => Promise.resolve(reads),
      (count) => count >= 3,
    );
    first.context.emit('one');
    first.throws(new Error('once more'));
    await task.call(1);
    const received = [began.value, (await next).value].flatMap((event) => event ?? []);
    for await (const event of events) {
      received.push(event);
      if (event.type === 'state' && event.state === 'running') break;
    }
    assert.match(textOf(received), /^running:1 one (retrying:1 )?running:2$/);
  });

  it('distinguish a run from the previous one, even if its attempt did not count', async () => {
    open();
    const gone = await fleet.worker(keyPrefix, [task.handler]);
    const { id } = await producer.enqueue(task.definition, null);
    const first = await task.call(0);
    first.context.emit('half');
    await until(
      () => inStream(id),
      (text) => text.endsWith('half'),
    );
    const stopped = gone.stop();
    first.throws(await first.aborted);
    await stopped;
    await fleet.worker(keyPrefix, [task.handler]);
    const second = await task.call(1);
    second.context.emit('all of it');
    second.returns();
    await producer.result(id);
    assert.match(textOf(await collect(producer.events(id))), /^queued running:1 half (queued )?running:1 all of it completed$/);
  });
});

/** A listener that never receives an event. */
async function silence(): Promise<() => void> {
  return Promise.resolve(() => undefined);
}

async function collect(events: AsyncIterable<TaskEvent>): Promise<TaskEvent[]> {
  const all: TaskEvent[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function textOf(events: readonly TaskEvent[]): string {
  return events
    .map((event) =>
      event.type === 'state'
        ? [event.state, ...(event.state === 'running' || event.state === 'retrying' ? [event.attempt] : [])].join(':')
        : event.type === 'chunk'
          ? String(event.chunk)
          : event.type,
    )
    .join(' ');
}
