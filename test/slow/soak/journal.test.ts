import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { createReceipt } from '../../../shared/stop/receipt.js';
import { History } from '../faults/audit/history.js';
import { JournalWriter, readJournal } from './journal.js';

describe('The journal of a soak', () => {
  const folder = mkdtempSync(join(tmpdir(), 'taskfleet-journal-'));
  after(() => rmSync(folder, { recursive: true }));

  it('gives the audit all answers that the client received', () => {
    const path = join(folder, 'journal');
    const journal = new JournalWriter(path);
    const task = { id: 'a', kind: 'hold', item: 'chat-1', askedAt: 1, answeredAt: 2 } as const;
    const call = { askedAt: 3, answeredAt: 4, code: 'REDIS_UNAVAILABLE', message: 'away' };
    const receipt = createReceipt({ id: 'b', outcome: 'cancelled', endedAs: 'cancelled' });
    journal.write({ fact: 'enqueued', task });
    journal.write({ fact: 'refused', what: 'enqueue', id: 'c', call });
    journal.write({ fact: 'refused', what: 'stop', id: 'a', call });
    journal.write({ fact: 'asked', id: 'a' });
    journal.write({ fact: 'asked item', item: 'chat-2' });
    journal.write({ fact: 'stopped', askedAt: 5, answeredAt: 6, receipts: [receipt] });
    journal.write({ fact: 'ended', id: 'd', state: 'failed' });
    journal.close();
    const history = new History();
    assert.deepEqual([...readJournal(path, history)], [['c', 'REDIS_UNAVAILABLE']]);
    assert.deepEqual([...history.enqueued.values()], [task]);
    assert.deepEqual([history.refusedEnqueues, history.refusedStops], [[call], [call]]);
    assert.deepEqual([[...history.asked], [...history.askedItems]], [['a', 'b'], ['chat-2']]);
    assert.deepEqual(history.stops, [{ askedAt: 5, answeredAt: 6, receipt }]);
    assert.deepEqual(history.ends, [{ id: 'd', state: 'failed' }]);
  });
});
