import assert from 'node:assert/strict';
import { after, describe, it, test } from 'node:test';
import type { Producer, StopReceipt } from '../../producer/index.js';
import { createKeys } from '../../shared/keys.js';
import { MergedWrites } from '../../shared/registry/merged-writes.js';
import type { Step } from '../../shared/store.js';
import type { FleetWorker } from '../../worker/index.js';
import { LogLines } from '../support/fleet/log-lines.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { type HandlerCall, ScriptedTask } from '../support/task/scripted-task.js';
import { StepGate } from '../support/task/step-gate.js';
import { until } from '../support/until.js';

/**
 * A stop that reaches its task in each gap between two steps, on each way to the worker.
 * - `message`: announced, recorded, published; the worker does not poll.
 * - `poll`: recorded, without a message.
 * - `bare`: a command of open-webui, without a record.
 * - `return`: as `message`, while the worker's subscription is down; the worker resubscribes later and does not poll.
 */
const WAYS = ['message', 'poll', 'bare', 'return'] as const;
type Way = (typeof WAYS)[number];

/** The required end of the task. It is cancelled in all cases except the last two. */
type End =
  /** No handler is called after the stop. */
  | 'not called'
  /** The handler is called, before or after the stop, and its signal is aborted. */
  | 'aborted'
  /** Either: the stop may arrive before or after the call of the handler. */
  | 'not called or aborted'
  /** The handler had returned before the stop. */
  | 'completed'
  /** The task did not exist yet. */
  | 'not found';

interface Scene {
  readonly prefix: string;
  /** The worker's user in Redis. */
  readonly user: string;
  readonly producer: Producer;
  readonly gate: StepGate;
  readonly task: ScriptedTask;
  readonly log: LogLines;
}

type Reach = (scene: Scene) => Promise<{
  /** Releases the held step. */
  readonly goOn: () => void;
  /** The running call of the handler, if any. */
  readonly call?: HandlerCall;
}>;

interface Gap {
  /** Completes the sentence `A stop of a task that …`. */
  readonly name: string;
  readonly reach: Reach;
  readonly end: End | Partial<Record<Way, End>>;
  /** The number of attempts and the delay between them. Default: one attempt. */
  readonly attempts?: { readonly count: number; readonly delayMs: number };
}

const ID = 'raced';
const OPTIONS = { id: ID, item: 'chat-1' };
const NEVER_MS = 3_600_000;
const LATER_MS = 600_000;
const ONCE = { count: 1, delayMs: 0 };
const WAIT = { waitMs: 60_000 };
/** A lost stop may leave its test waiting; the other tests still run. */
const TIMED = { timeout: 120_000 };

const throws = (call: HandlerCall): void => call.throws(new Error('failed'));
const GAPS: readonly Gap[] = [
  { name: 'is not registered yet', reach: heldAtEnqueue, end: { message: 'not found', poll: 'not found' } },
  {
    name: 'is registered without a job',
    reach: registered,
    end: { message: 'not called', poll: 'not called or aborted', bare: 'not called', return: 'not called or aborted' },
  },
  { name: 'waits for a free slot', reach: queued, end: 'not called' },
  { name: 'waits for its delay', reach: delayed, end: 'not called' },
  { name: 'waits for its retry', reach: retrying, end: 'not called', attempts: { count: 2, delayMs: LATER_MS } },
  {
    name: 'is fetched but not tracked',
    reach: heldAt('worker:fetched'),
    end: { message: 'not called', poll: 'aborted', bare: 'not called', return: 'not called or aborted' },
  },
  {
    name: 'is tracked but not started',
    reach: heldAt('worker:tracked'),
    end: { message: 'not called', poll: 'not called or aborted', bare: 'not called', return: 'not called or aborted' },
  },
  { name: 'runs', reach: running, end: 'aborted' },
  { name: 'has returned but is not recorded', reach: ended((call) => call.returns('result')), end: 'completed' },
  { name: 'has failed for good but is not recorded', reach: ended(throws), end: 'not called' },
  {
    name: 'has failed but is not recorded, before an immediate retry',
    reach: ended(throws),
    end: 'not called',
    attempts: { count: 3, delayMs: 0 },
  },
  {
    name: 'has failed but is not recorded, before a delayed retry',
    reach: ended(throws),
    end: 'not called',
    attempts: { count: 3, delayMs: LATER_MS },
  },
];

async function heldAtEnqueue({ producer, gate, task }: Scene) {
  const held = gate.holdNext('enqueue:checked', ID);
  const enqueued = producer.enqueue(task.definition, 'task', OPTIONS);
  await held.reached;
  void enqueued.catch((error: unknown) => assert.fail(String(error)));
  return { goOn: () => held.release() };
}

/** The state between the two writes of an enqueue. */
async function registered({ prefix, producer, task }: Scene) {
  const writes = new MergedWrites(createKeys(prefix));
  writes.add({ id: ID, item: OPTIONS.item, queue: task.definition.queue, at: Date.now() });
  await Promise.all(writes.flushInto(fleet.scripted));
  return { goOn: () => void producer.enqueue(task.definition, 'task', OPTIONS).catch((error: unknown) => assert.fail(String(error))) };
}

async function queued({ producer, task }: Scene) {
  // The worker has one slot.
  await producer.enqueue(task.definition, 'other');
  const other = await task.call();
  await producer.enqueue(task.definition, 'task', OPTIONS);
  return { goOn: () => other.returns() };
}

async function delayed({ producer, task }: Scene) {
  await producer.enqueue(task.definition, 'task', { ...OPTIONS, delay: LATER_MS });
  return { goOn: () => undefined };
}

async function retrying(scene: Scene) {
  const { call } = await running(scene);
  throws(call);
  await until(
    () => scene.producer.get(ID),
    (view) => view?.state === 'retrying',
  );
  return { goOn: () => undefined };
}

async function running({ producer, task }: Scene) {
  await producer.enqueue(task.definition, 'task', OPTIONS);
  return { goOn: () => undefined, call: await task.call() };
}

function heldAt(step: Step): Reach {
  return async ({ producer, gate, task }) => {
    const held = gate.holdNext(step, ID);
    await producer.enqueue(task.definition, 'task', OPTIONS);
    await held.reached;
    return { goOn: () => held.release() };
  };
}

function ended(end: (call: HandlerCall) => void): Reach {
  return async (scene) => {
    const held = scene.gate.holdNext('worker:ended', ID);
    end((await running(scene)).call);
    await held.reached;
    return { goOn: () => held.release() };
  };
}

/** Resolves when the stop is recorded and, if messages reach the worker, received. A bare command has no receipt. */
const STOP: Record<Way, (scene: Scene) => Promise<StopReceipt | null>> = {
  message: async ({ prefix, producer, log }) => {
    const receipt = await producer.stop(ID);
    // Messages arrive in order: a worker with this one has received the stop.
    await fleet.client.publish(createKeys(prefix).commands, 'marker');
    await log.waitFor(/Unsupported message/);
    return receipt;
  },
  poll: async ({ prefix }) => {
    await fleet.client.acl('SETUSER', 'mute', 'on', '>x', '~*', 'resetchannels', '+@all');
    return fleet.producer({ keyPrefix: prefix, redisUrl: urlFor('mute') }).stop(ID);
  },
  bare: async ({ prefix, task }) => {
    const { client } = fleet;
    const keys = createKeys(prefix);
    await client.publish(keys.commands, JSON.stringify({ action: 'stop', task_id: ID }));
    await until(
      async () => (await client.hexists(keys.jobs(task.definition.queue) + ID, 'stop')) + (await client.hexists(keys.pendingStops, ID)),
      Boolean,
    );
    return null;
  },
  return: async ({ user, producer, log }) => {
    const { client } = fleet;
    // Redis ends the subscription of a user who loses the permission, and refuses the next.
    await client.acl('SETUSER', user, 'resetchannels');
    await log.waitFor(/Could not subscribe to stop commands/);
    const receipt = await producer.stop(ID);
    await client.acl('SETUSER', user, '&*');
    const clients = String(await client.call('CLIENT', 'LIST')).split('\n');
    const subscriber = clients.find((line) => line.includes('name=taskfleet:worker:stop ') && line.includes(`user=${user} `));
    await client.call('CLIENT', 'KILL', 'ID', /id=(\d+)/.exec(subscriber ?? '')?.[1] ?? 'none');
    await until(
      () => log.find(/Listening for stop commands/),
      (lines) => lines.length > 1,
    );
    return receipt;
  },
};

const fleet = await TestFleet.start();
after(() => fleet.stop());

function urlFor(user: string): string {
  return fleet.redis.url.replace('redis://', `redis://${user}:x@`);
}

async function setUp(way: Way, { count, delayMs }: NonNullable<Gap['attempts']>): Promise<Scene & { readonly worker: FleetWorker }> {
  const prefix = fleet.newPrefix();
  const user = `user-${prefix}`;
  await fleet.client.acl('SETUSER', user, 'on', '>x', '~*', '&*', '+@all');
  const [log, gate] = [new LogLines(), new StepGate()];
  const task = new ScriptedTask('race.task', { retry: { attempts: count, backoff: { type: 'fixed', delayMs, jitter: 0 } } });
  const producer = fleet.producer({ keyPrefix: prefix, onStep: gate.onStep });
  const settings = {
    redisUrl: urlFor(user),
    concurrency: 1,
    stopGraceMs: 60_000,
    stopPollMs: way === 'poll' ? 50 : NEVER_MS,
    reconnectDelayMs: 20,
  };
  const worker = await fleet.worker(prefix, [task.handler], { ...settings, loggers: log.loggers, onStep: gate.onStep });
  await log.waitFor(/Listening for stop commands/);
  return { prefix, user, producer, gate, task, log, worker };
}

describe('A stop of a task that', () => {
  for (const { name, reach, end, attempts = ONCE } of GAPS) {
    for (const way of WAYS) {
      const expected = typeof end === 'string' ? end : end[way];
      if (expected === undefined) continue;
      it(`${name}, by ${way}: ${expected}`, TIMED, async () => {
        const { worker, ...scene } = await setUp(way, attempts);
        const { goOn, call } = await reach(scene);
        const before = scene.task.calls.length;
        const receipt = await STOP[way](scene);
        goOn();
        await assertEnd(expected, scene, { call, before, receipt });
        await fleet.emptied(scene.prefix);
        assert.equal(await fleet.client.exists(createKeys(scene.prefix).pendingStops), 0);
        await until(
          () => worker.status().running,
          (ids) => ids.length === 0,
        );
        await worker.stop();
      });
    }
  }

  it('runs aborts it by the announcement, before the record is published', TIMED, async () => {
    const { producer, gate, task } = await setUp('message', ONCE);
    await producer.enqueue(task.definition, 'task', OPTIONS);
    const call = await task.call();
    const held = gate.holdNext('stop:recorded', ID);
    const stopped = producer.stop(ID, WAIT);
    await held.reached;
    call.throws(await call.aborted);
    await assert.rejects(producer.result(ID), { code: 'TASK_CANCELLED' });
    held.release();
    assert.deepEqual([(await stopped).outcome, (await stopped).via], ['cancelled', 'signal']);
  });
});

test('a closing worker first settles the task of a bare command', async () => {
  const { prefix, producer, gate, task, worker } = await setUp('bare', ONCE);
  await producer.enqueue(task.definition, 'task', { ...OPTIONS, delay: LATER_MS });
  const held = gate.holdNext('stop:recorded', ID);
  await fleet.client.publish(createKeys(prefix).commands, JSON.stringify({ action: 'stop', task_id: ID }));
  await held.reached;
  const stopped = worker.stop();
  await until(
    () => worker.status().subscribed,
    (subscribed) => !subscribed,
  );
  held.release();
  await stopped;
  assert.equal((await producer.get(ID))?.state, 'cancelled');
});

test('a late message does not stop the retry of its task', async () => {
  const { prefix, producer, task, log } = await setUp('message', ONCE);
  await producer.enqueue(task.definition, 'task', { ...OPTIONS, delay: LATER_MS });
  const { requestedAt } = await producer.stop(ID);
  await producer.retry(ID);
  const call = await task.call();
  const { commands } = createKeys(prefix);
  await fleet.client.publish(commands, JSON.stringify({ action: 'stop', task_id: ID, recorded_at: (requestedAt?.getTime() ?? 0) - 1 }));
  await fleet.client.publish(commands, 'marker');
  await log.waitFor(/Unsupported message/);
  call.returns('of the new run');
  assert.equal(await producer.result(ID), 'of the new run');
});

interface Known {
  readonly call: HandlerCall | undefined;
  /** Calls before the stop. */
  readonly before: number;
  readonly receipt: StopReceipt | null;
}

async function assertEnd(expected: End, { producer, task }: Scene, { call, before, receipt }: Known): Promise<void> {
  const outcome = receipt?.outcome ?? null;
  if (expected === 'not found') {
    (await task.call(before)).returns('result');
    await until(
      () => producer.get(ID),
      (view) => view?.state === 'completed',
    );
    assert.equal(outcome, 'not_found');
    return;
  }
  if (expected === 'completed') {
    assert.equal(await producer.result(ID), 'result');
    const { outcome: last, endedAs } = await producer.stop(ID);
    assert.deepEqual([last, endedAs, task.calls.length], ['finished', 'completed', before]);
    return;
  }
  // A handler that is not aborted never ends, so no receipt would say `cancelled`.
  void call?.aborted.then((cause) => call.throws(cause));
  void task.call(before).then((late) => late.aborted.then((cause) => late.throws(cause)));
  // Without another stop, whose message could reach a worker that the first one missed.
  await until(
    () => producer.get(ID),
    (view) => view !== null,
  );
  await assert.rejects(producer.result(ID, { timeoutMs: 60_000 }), { code: 'TASK_CANCELLED' });
  const last = await producer.stop(ID);
  assert.deepEqual([last.outcome, last.endedAs, (await producer.get(ID))?.state], ['cancelled', 'cancelled', 'cancelled']);
  assert.ok(outcome === null || outcome === 'requested' || outcome === 'cancelled', `the first receipt said ${outcome}`);
  const late = task.calls.slice(before).filter(({ context }) => context.id === ID);
  const counts = { 'not called': [0], aborted: [call ? 0 : 1], 'not called or aborted': [0, 1] }[expected];
  assert.ok(counts.includes(late.length), `the handler was called ${late.length} times after the stop`);
}
