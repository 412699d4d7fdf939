import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import type { Producer } from '../../../../producer/index.js';
import type { Store } from '../../../../shared/store.js';
import { defineHandler } from '../../../../shared/task/handler.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { until } from '../../../support/until.js';
import { now } from '../load/clock.js';
import { type LoadKind, loadTask } from '../load/load-task.js';
import { type AuditReport, type ProblemKind, audit } from './audit.js';
import { EndLog } from './end-log.js';
import { HandlerLog } from './handler-log.js';
import { History } from './history.js';
import { tally } from './report.js';

/** An audited history: a completed task, and one stopped while it ran. */
interface Scene {
  readonly store: Store;
  readonly producer: Producer;
  readonly history: History;
  readonly ends: EndLog;
  readonly completed: string;
  readonly stopped: string;
  /** Adds a note of a handler. */
  readonly note: (id: string, run: string, what: string) => void;
  /** Returns the key of a job, or one of the queue's own keys. */
  readonly job: (id: string) => string;
}

describe('The audit of a fault', () => {
  let fleet: TestFleet;
  const folders: string[] = [];

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(async () => {
    await fleet.stop();
    for (const folder of folders) rmSync(folder, { recursive: true });
  });

  async function auditOf(tamper: (scene: Scene) => Promise<unknown> | void): Promise<AuditReport> {
    const keyPrefix = fleet.newPrefix();
    const folder = mkdtempSync(join(tmpdir(), 'taskfleet-audit-'));
    folders.push(folder);
    const [store, producer, history, log] = [
      fleet.store({ keyPrefix }),
      fleet.producer({ keyPrefix }),
      new History(),
      new HandlerLog(folder),
    ];
    const note = (id: string, run: string, what: string): void =>
      appendFileSync(join(folder, '1-0.log'), `${JSON.stringify([id, run, what, now()])}\n`);
    const worker = await fleet.worker(keyPrefix, [
      defineHandler(loadTask, async ({ id, input, signal }) => {
        note(id, `1-0-${id}`, 'begin');
        if (input.kind === 'hold') await new Promise((resolve) => signal.addEventListener('abort', resolve));
        note(id, `1-0-${id}`, signal.aborted ? 'threw' : 'returned');
        return 1;
      }),
    ]);
    const enqueue = async (kind: LoadKind): Promise<string> => {
      const askedAt = now();
      const { id } = await producer.enqueue(loadTask, { kind, ms: 0 });
      history.acknowledged({ id, kind, item: null, askedAt });
      return id;
    };
    const [completed, stopped] = [await enqueue('run'), await enqueue('hold')];
    await producer.result(completed);
    await until(
      () => log.refresh().of(stopped),
      (runs) => runs.length === 1,
    );
    history.asked.add(stopped);
    history.stopped(now(), [await producer.stop(stopped, { waitMs: 60_000 })]);
    await until(
      () => fleet.registrySize(keyPrefix),
      ({ tasks, queues }) => tasks + queues === 0,
    );
    await worker.stop();
    const ends = new EndLog(store);
    await ends.read();
    await tamper({ store, producer, history, ends, completed, stopped, note, job: (id) => store.keys.jobs(loadTask.queue) + id });
    return audit({ store, history, log, ends });
  }

  it('is clean when nothing is wrong, and counts events', async () => {
    const { problems, counts } = await auditOf(() => undefined);
    assert.deepEqual(problems, []);
    const { acknowledged, completed, failed, cancelled, stopsAcknowledged, ranAgain, lost } = counts;
    assert.deepEqual(
      { acknowledged, completed, failed, cancelled, stopsAcknowledged, ranAgain, lost },
      { acknowledged: 2, completed: 1, failed: 0, cancelled: 1, stopsAcknowledged: 1, ranAgain: 0, lost: 0 },
    );
  });

  const wrong: readonly (readonly [what: string, kinds: readonly ProblemKind[], tamper: (scene: Scene) => Promise<unknown> | void])[] = [
    [
      'a task that is gone',
      ['lost'],
      ({ store, job, completed }) =>
        store.queues
          .get(loadTask.queue)
          .remove(completed)
          .then(() => store.redis.exists(job(completed))),
    ],
    [
      'a task that waits',
      ['unfinished', 'left behind'],
      async ({ producer, history }) => {
        const { id } = await producer.enqueue(loadTask, { kind: 'run', ms: 0 });
        history.acknowledged({ id, kind: 'run', item: null, askedAt: now() });
      },
    ],
    [
      'a task that failed and should not have',
      ['wrong end', 'two outcomes'],
      ({ store, job, completed }) =>
        Promise.all([store.redis.zrem(job('completed'), completed), store.redis.zadd(job('failed'), 1, completed)]),
    ],
    ['a task that was cancelled without a stop', ['wrong end'], ({ history }) => history.asked.clear()],
    [
      'a second event of an end',
      ['two outcomes'],
      ({ store, job, completed }) => store.redis.xadd(job('events'), '*', 'event', 'completed', 'jobId', completed),
    ],
    ['one who heard of another end', ['two outcomes'], ({ history, completed }) => history.ended(completed, 'failed')],
    [
      'a receipt that is not true',
      ['two outcomes', 'stop lost'],
      ({ history, completed }) => {
        const [{ receipt }] = history.stops as [History['stops'][number]];
        history.stopped(now(), [{ ...receipt, id: completed }]);
      },
    ],
    ['a handler that begins after its stop', ['began after its stop'], ({ note, stopped }) => note(stopped, '2-0-1', 'begin')],
    ['a handler that goes on after its stop', ['ran on after its stop'], ({ note, stopped }) => note(stopped, `1-0-${stopped}`, 'tick')],
    [
      'a task that exists though it was refused for good',
      ['added though rejected'],
      ({ history, completed }) => {
        history.enqueued.delete(completed);
        history.refused('enqueue', now(), Object.assign(new Error('refused'), { code: 'REDIS_OUT_OF_MEMORY' }));
      },
    ],
    ['an entry in the registry', ['left behind'], ({ store, completed }) => store.redis.zadd(store.keys.live, 1, completed)],
    ['an item with a task', ['left behind'], ({ store, completed }) => store.redis.sadd(store.keys.item('chat-1'), completed)],
    ['a lock', ['left behind'], ({ store, job, completed }) => store.redis.set(`${job(completed)}:lock`, 'its token')],
    ['a job in no list', ['left behind'], ({ store, job }) => store.redis.hset(job('01a20a5f-3eef-74cc-9ad8-ba2429c2c4f6'), 'stop', '{}')],
  ];
  for (const [what, kinds, tamper] of wrong) {
    it(`reports ${what}`, async () => {
      const { problems } = await auditOf(tamper);
      assert.deepEqual(Object.keys(tally(problems)).toSorted(), kinds.toSorted(), JSON.stringify(problems));
    });
  }
});
