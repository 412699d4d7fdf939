import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { defineHandler } from '../../../../shared/task/handler.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { EndLog } from '../../faults/audit/end-log.js';
import { loadTask } from '../../faults/load/load-task.js';
import { Archive } from './archive.js';

describe('The archive of a soak', () => {
  let fleet: TestFleet;
  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  it('knows the ends of tasks no longer in Redis, and no other tasks', async () => {
    const keyPrefix = fleet.newPrefix();
    const [store, producer] = [fleet.store({ keyPrefix }), fleet.producer({ keyPrefix })];
    await fleet.worker(keyPrefix, [defineHandler(loadTask, () => 1)]);
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const { id } = await producer.enqueue(loadTask, { kind: 'run', ms: 0 });
      await producer.result(id);
      ids.push(id);
    }
    const [archived = '', kept = '', gone = ''] = ids;
    const remove = (id: string): Promise<unknown> => store.queues.get(loadTask.queue).remove(id);
    await remove(gone);
    const ends = new EndLog(store);
    await ends.read();
    const archive = new Archive(store, ends);
    await archive.read();
    await remove(archived);
    assert.equal((await store.reader.read([archived])).size, 0);
    const views = await archive.store().reader.read([archived, kept, gone]);
    assert.deepEqual(
      [...views].map(([id, { state }]) => [id, state]),
      [
        [archived, 'completed'],
        [kept, 'completed'],
      ],
    );
    assert.deepEqual([...archive.ids].toSorted(), [archived, kept].toSorted());
  });
});
