import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { z } from 'zod';
import { isFleetError } from '../../../shared/errors.js';
import {
  LISTED,
  MAX_CHUNK_BYTES,
  MAX_ERROR_BYTES,
  MAX_NAME_LENGTH,
  MAX_PROGRESS_BYTES,
  MAX_STACK_LENGTH,
  cutToBytes,
} from '../../../shared/limits.js';
import { type TaskContext, defineHandler, defineTask } from '../../../worker/index.js';
import { endOf, ownWorker } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const LIMIT = 1_024;
const RETRY = { attempts: 3, backoff: { delayMs: 0 } } as const;

function circle(): unknown {
  const one: Record<string, unknown> = {};
  one['self'] = one;
  return one;
}

describe('The limits of a task', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  /** Runs a task with this handler to its end. */
  async function ended(handle: (context: TaskContext) => unknown) {
    const task = defineTask({ name: 'big.task', input: z.unknown(), retry: RETRY, retention: KEEP });
    let runs = 0;
    const handler = defineHandler(task, (context) => {
      runs += 1;
      return handle(context);
    });
    const own = await ownWorker(fleet, [handler], { maxResultBytes: LIMIT });
    const { id } = await own.producer.enqueue(task, {});
    const view = await endOf(own.producer, id);
    const keys = fleet.keys(own.prefix);
    return { ...own, view, runs, keys, job: await fleet.client.hgetall(keys.jobs('big') + id) };
  }

  // A string in JSON has two quotes, and an ä takes two bytes.
  const FITS: Readonly<Record<string, unknown>> = {
    'the longest text': 'x'.repeat(LIMIT - 2),
    'the longest in bytes': 'ä'.repeat((LIMIT - 2) / 2),
    nothing: undefined,
    null: null,
    zero: 0,
  };
  for (const [name, value] of Object.entries(FITS)) {
    it(`allow a result: ${name}`, async () => {
      const { view, job } = await ended(() => value);
      assert.deepEqual([view.state, view.result, job['returnvalue']], ['completed', value ?? null, JSON.stringify(value ?? null)]);
    });
  }

  const BAD: readonly (readonly [name: string, make: () => unknown, problem: RegExp])[] = [
    [
      'one byte too many',
      () => 'x'.repeat(LIMIT - 1),
      /^The result of big\.task is 1025 bytes of JSON; at most 1024 bytes are allowed\. Store .* or raise MAX_RESULT_BYTES\.$/,
    ],
    ['more in bytes than in characters', () => 'ä'.repeat(LIMIT / 2), /is 1026 bytes/],
    ['ten megabytes', () => ({ list: Array.from({ length: 1_000 }, () => 'x'.repeat(10_000)) }), /at most 1024 bytes are allowed/],
    ['a circle', circle, /^Bad output of big\.task: not JSON \(Converting circular structure/],
    ['a BigInt', () => ({ n: 1n }), /^Bad output of big\.task: not JSON \(Do not know how to serialize a BigInt\)$/],
  ];
  for (const [name, make, problem] of BAD) {
    it(`fail a task without a retry because of its result: ${name}`, async () => {
      const { view, job, runs } = await ended(make);
      assert.deepEqual([view.state, view.result, job['returnvalue'], runs], ['failed', null, undefined, 1]);
      assert.match(view.error ?? '', problem);
    });
  }

  it('cut each stored error to 16 KiB, with a mark', async () => {
    const { view, job, keys, runs, producer } = await ended(() => {
      throw new Error('ä'.repeat(2_500_000));
    });
    assert.equal(runs, 3);
    assert.ok(Buffer.byteLength(view.error ?? '') <= MAX_ERROR_BYTES, view.error?.slice(-80));
    assert.match(view.error ?? '', /^ä+ … \(cut: 5000000 bytes\)$/);
    const stacks = JSON.parse(job['stacktrace'] ?? '[]') as string[];
    assert.ok(
      stacks.length > 0 && stacks.every((stack) => stack.length <= MAX_STACK_LENGTH && /\n +at /.test(stack)),
      'the stack keeps little of the message',
    );
    const events = await fleet.client.xrange(`${keys.jobs('big')}events`, '-', '+');
    assert.ok(JSON.stringify(events).length < 200_000, "the queue's events are cut too");
    const [listed] = (await producer.list({ state: 'failed' })).tasks;
    assert.equal(listed?.error?.length, LISTED.errorLength);
  });

  it('throw in the handler for progress and chunks that are too large', async () => {
    const caught: unknown[] = [];
    const attempt = (work: () => void): void => {
      try {
        work();
      } catch (error) {
        caught.push(error);
      }
    };
    await ended(({ progress, emit }) => {
      attempt(() => progress({ text: 'x'.repeat(MAX_PROGRESS_BYTES - 11) }));
      attempt(() => progress({ text: 'x'.repeat(MAX_PROGRESS_BYTES) }));
      attempt(() => emit(['x'.repeat(MAX_CHUNK_BYTES)]));
    });
    assert.equal(caught.length, 2);
    assert.ok(
      caught.every((error) => isFleetError(error, 'OUTPUT_TOO_LARGE')),
      String(caught),
    );
  });

  it('split a long text into chunks between characters', async () => {
    const text = `${'a"\n'.repeat(40_000)}${'😀'.repeat(100_000)}${'\u0000'.repeat(50_000)}`;
    const { view, producer } = await ended(({ emit }) => emit(text));
    assert.equal(view.state, 'completed');
    const parts: string[] = [];
    for await (const event of producer.events(view.id)) if (event.type === 'chunk') parts.push(event.chunk as string);
    assert.equal(parts.join(''), text);
    assert.ok(parts.length > 1 && parts.every((part) => part.isWellFormed() && Buffer.byteLength(JSON.stringify(part)) <= MAX_CHUNK_BYTES));
  });

  it('leave results and long fields out of lists; a read of the task includes them', async () => {
    const task = defineTask({ name: 'big.task', input: z.unknown(), retention: KEEP });
    const progress = { text: 'x'.repeat(LISTED.progressBytes) };
    const { producer } = await ownWorker(fleet, [
      defineHandler(task, async (context) => {
        context.progress(progress);
        return 'the result';
      }),
    ]);
    const { id } = await producer.enqueue(task, {});
    assert.equal(await producer.result(id), 'the result');
    const [listed] = (await producer.list({ state: 'completed' })).tasks;
    assert.deepEqual([listed?.id, listed?.result, listed?.progress, listed?.problem], [id, null, null, null]);
    const whole = await producer.get(id);
    assert.deepEqual([whole?.result, whole?.progress], ['the result', progress]);
  });

  it('cut the long fields of a plain job, and leave them out of lists', async () => {
    const { producer, prefix } = await ownWorker(fleet, []);
    const store = fleet.store({ keyPrefix: prefix });
    const queue = store.queues.get('plain');
    await queue.add('n'.repeat(50_000), {}, { jobId: 'named' });
    await queue.add('n'.repeat(500_000), {}, { jobId: 'named-worse' });
    const failed = await queue.add('failing', {}, { jobId: 'fails' });
    const job = `${store.keys.jobs('plain')}${failed.id}`;
    await store.redis
      .multi()
      .lrem(`${store.keys.jobs('plain')}wait`, 0, 'fails')
      .zadd(`${store.keys.jobs('plain')}failed`, 5, 'fails')
      .hset(job, { finishedOn: 5, failedReason: 'e'.repeat(5_000_000), progress: JSON.stringify('p'.repeat(5_000_000)) })
      .exec();
    await store.redis.sadd(store.keys.queues, 'plain');
    const [one] = (await producer.list({ state: 'failed' })).tasks;
    assert.deepEqual([one?.error, one?.progress], ['(5000000 bytes: too long for a list)', null]);
    assert.ok(Buffer.byteLength((await producer.get('fails'))?.error ?? '') <= MAX_ERROR_BYTES);
    assert.equal((await producer.get('named'))?.name?.length, MAX_NAME_LENGTH);
    const found = await store.reader.read(['named', 'named-worse']);
    assert.equal(found.get('named')?.name?.length, MAX_NAME_LENGTH);
    assert.deepEqual([found.get('named-worse')?.name, found.get('named-worse')?.problem], [null, 'name: 500000 bytes are too many']);
  });
});

describe('cutToBytes', () => {
  it('cuts between characters, within the limit', () => {
    for (const text of ['a', 'ä', '€', '😀'].flatMap((unit) => [100, 101, 102, 103].map((length) => unit.repeat(length)))) {
      const cut = cutToBytes(text, 100);
      assert.ok(Buffer.byteLength(cut) <= 100 && cut.isWellFormed() && !cut.includes('\uFFFD'), cut);
      assert.equal(cut === text, Buffer.byteLength(text) <= 100);
    }
  });
});
