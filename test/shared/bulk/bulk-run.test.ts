import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type BulkPage, type BulkState, type Journal, runBulk } from '../../../shared/bulk/bulk-run.js';

/** Keeps the state of a bulk beyond a run, as Redis does. */
class KeptJournal implements Journal {
  state: BulkState = { total: null, done: 0, outcomes: {}, page: null, after: null, isLast: false };
  readonly receipts: string[] = [];

  begin(): Promise<BulkState> {
    return Promise.resolve(this.state);
  }

  counted(total: number): Promise<void> {
    this.state = { ...this.state, total };
    return Promise.resolve();
  }

  turnTo({ ids, next }: BulkPage): Promise<void> {
    this.state = { ...this.state, page: ids, after: next, isLast: next === null };
    return Promise.resolve();
  }

  settle(receipts: readonly { id: string }[], totals: Pick<BulkState, 'total' | 'done' | 'outcomes'>): Promise<void> {
    this.receipts.push(...receipts.map(({ id }) => id));
    this.state = { ...this.state, ...totals, page: null };
    return Promise.resolve();
  }
}

test('a bulk that dies within a page acts on that page again, although its tasks no longer match', async () => {
  const matching = new Set(['a', 'b', 'c', 'd']);
  const journal = new KeptJournal();
  const acted: string[][] = [];
  const run = (dies: boolean) =>
    runBulk({
      journal,
      count: () => Promise.resolve(matching.size),
      pageAfter: () => {
        const ids = [...matching].slice(0, 2);
        return Promise.resolve({ ids, next: matching.size > ids.length ? 'more' : null });
      },
      act: (ids) => {
        acted.push([...ids]);
        for (const id of ids) matching.delete(id);
        return dies ? Promise.reject(new Error('killed')) : Promise.resolve(ids.map((id) => ({ id, outcome: 'retried', state: 'failed' })));
      },
    });
  await assert.rejects(run(true), { message: 'killed' });
  const { total, done, outcomes } = await run(false);
  assert.deepEqual([total, done, outcomes], [4, 4, { retried: 4 }]);
  assert.deepEqual(acted, [
    ['a', 'b'],
    ['a', 'b'],
    ['c', 'd'],
  ]);
  assert.deepEqual(journal.receipts, ['a', 'b', 'c', 'd']);
});
