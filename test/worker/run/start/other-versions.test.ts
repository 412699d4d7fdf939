import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { z } from 'zod';
import type { Producer } from '../../../../producer/index.js';
import { schemasOf } from '../../../../worker/run/start/unknown-tasks.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

/** Two versions of one task: the newer one requires a field that the older one lacks. */
const older = new ScriptedTask('note.take', { input: z.strictObject({ text: z.string() }) });
const newer = new ScriptedTask('note.take', { input: z.strictObject({ text: z.string(), language: z.string() }) });
const INPUT = { text: 'a', language: 'en' };

describe("A task whose input matches only another version's schema", () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let log: LogLines;

  before(async () => {
    fleet = await TestFleet.start();
  });
  beforeEach(async () => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    log = new LogLines();
  });
  after(() => fleet.stop());

  const startOlder = () => fleet.worker(prefix, [older.handler], { loggers: log.loggers });
  /** Writes the heartbeat of a worker with the newer version, which fetches nothing. */
  async function announceNewer(fields: Readonly<Record<string, string>> = {}): Promise<void> {
    const keys = fleet.keys(prefix);
    await fleet.client.hset(keys.worker('newer'), { schemas: JSON.stringify(schemasOf([newer.handler])), draining: '0', ...fields });
    await fleet.client.zadd(keys.workers, Date.now(), 'newer');
  }
  const defer = (id: string) =>
    until(
      () => producer.get(id),
      (view) => view?.state === 'scheduled' && view.error !== null,
    );
  const failsAtOnce = async (): Promise<void> => {
    const { id } = await producer.enqueue(newer.definition, INPUT);
    await assert.rejects(producer.result(id), { code: 'TASK_FAILED', message: /Bad input for note\.take: .*language/ });
  };

  it('is deferred without an attempt while such a worker is alive, and runs there', async () => {
    await announceNewer();
    await startOlder();
    const { id } = await producer.enqueue(newer.definition, INPUT);
    const view = await defer(id);
    assert.equal(view?.attempt, 0);
    assert.match(view?.error ?? '', /^Bad input for note\.take: .*language/);
    assert.equal(log.find(/does not match this worker's schema/).filter(({ level }) => level === 40).length, 1);
    await fleet.worker(prefix, [newer.handler]);
    const call = await newer.call();
    assert.deepEqual([call.context.attempt, call.context.input], [1, INPUT]);
    call.returns('done');
    assert.equal(await producer.result(id), 'done');
  });

  it('fails at once without such a worker: alone, or beside a same-version, draining or schemaless one', async () => {
    await startOlder();
    await failsAtOnce();
    await startOlder();
    await failsAtOnce();
    await announceNewer({ draining: '1' });
    await failsAtOnce();
    for (const schemas of ['', '{', '7', 'null', '{"note.take":null}', '{"other.task":"abc"}']) {
      await announceNewer({ schemas });
      await failsAtOnce();
    }
  });

  it('fails once the other worker is gone, and can be stopped while deferred', async () => {
    await announceNewer();
    await startOlder();
    const [gone, stopped] = [await producer.enqueue(newer.definition, INPUT), await producer.enqueue(newer.definition, INPUT)];
    await Promise.all([defer(gone.id), defer(stopped.id)]);
    assert.equal((await producer.stop(stopped.id, { waitMs: 60_000 })).outcome, 'cancelled');
    await fleet.client.del(fleet.keys(prefix).worker('newer'));
    await assert.rejects(producer.result(gone.id), { code: 'TASK_FAILED', message: /Bad input/ });
    await fleet.emptied(prefix);
  });

  it('is announced by schema hashes in the heartbeats, equal for equal schemas', async () => {
    const [one, two, three] = [schemasOf([older.handler]), schemasOf([older.handler]), schemasOf([newer.handler])];
    assert.deepEqual(one, two);
    assert.notDeepEqual(one, three);
    const worker = await startOlder();
    const told = await until(
      () => fleet.client.hget(fleet.keys(prefix).worker(worker.id), 'schemas'),
      (schemas) => schemas !== null,
    );
    assert.equal((JSON.parse(told ?? '') as Record<string, string>)['note.take'], one['note.take']);
  });
});
