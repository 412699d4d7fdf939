import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { type StopReceipt, createReceipt } from '../../../../shared/stop/receipt.js';
import type { ProblemKind } from './audit.js';
import { type Freeze, isOfFrozen } from './frozen.js';
import { HandlerLog } from './handler-log.js';
import { History } from './history.js';

/** Worker 7 was frozen from 1,000 to 9,000. */
const FREEZE: Freeze = { pid: 7, from: 1_000, to: 9_000 };

describe('A handler running after its stop', () => {
  const folders: string[] = [];
  after(() => folders.forEach((folder) => rmSync(folder, { recursive: true })));

  function isExcused(
    settledAt: number,
    [pid, beganAt, endedAt]: readonly [pid: number, beganAt: number, endedAt: number],
    kind: ProblemKind = 'ran on after its stop',
    via: StopReceipt['via'] = 'signal',
  ): boolean {
    const folder = mkdtempSync(join(tmpdir(), 'taskfleet-frozen-'));
    folders.push(folder);
    writeFileSync(
      join(folder, `${pid}-0.log`),
      [
        ['begin', beganAt],
        ['threw', endedAt],
      ]
        .map(([what, at]) => `${JSON.stringify(['a', `${pid}-0-1`, what, at])}\n`)
        .join(''),
    );
    const history = new History();
    history.stops.push({
      askedAt: settledAt - 10,
      answeredAt: settledAt,
      receipt: { ...createReceipt({ id: 'a', outcome: 'cancelled', endedAs: 'cancelled' }), via },
    });
    return isOfFrozen({ kind, id: 'a', what: '' }, { history, log: new HandlerLog(folder).refresh() }, [FREEZE], 5_000);
  }

  it('is excused if its process was frozen when the stop was settled', () => {
    assert.equal(isExcused(5_000, [7, 900, 9_050]), true);
    assert.equal(isExcused(5_000, [7, 9_010, 9_050], 'began after its stop'), true);
  });

  it('is excused if the stop found its task in the queue before the woken process noticed that', () => {
    assert.equal(isExcused(9_100, [7, 900, 9_150], 'ran on after its stop', 'queue'), true);
    assert.equal(isExcused(9_100, [7, 900, 14_100], 'ran on after its stop', 'queue'), false);
    assert.equal(isExcused(9_100, [7, 9_050, 9_150], 'ran on after its stop', 'queue'), false);
  });

  it('is not excused if another process was frozen, or at another time, or if it keeps running', () => {
    assert.equal(isExcused(5_000, [8, 900, 9_050]), false);
    assert.equal(isExcused(990, [7, 900, 9_050]), false);
    assert.equal(isExcused(9_100, [7, 900, 9_500]), false);
    assert.equal(isExcused(5_000, [7, 900, 14_100]), false);
  });

  it('is the only problem that a freeze excuses', () => {
    assert.equal(isExcused(5_000, [7, 900, 9_050], 'stop lost'), false);
    assert.equal(isExcused(5_000, [7, 900, 9_050], 'two outcomes'), false);
  });
});
