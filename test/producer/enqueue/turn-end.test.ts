import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { TurnEnd } from '../../../producer/enqueue/write/turn-end.js';

describe('The work at the end of a turn', () => {
  it('runs once for all requests, right after the promises of the first one', async () => {
    let runs = 0;
    const end = new TurnEnd(() => (runs += 1));
    const seen: number[] = [];
    await Promise.resolve();
    for (let requests = 0; requests < 3; requests += 1) end.request();
    queueMicrotask(() => seen.push(runs));
    setImmediate(() => seen.push(runs));
    await nextTurn();
    await nextTurn();
    assert.deepEqual(seen, [0, 1]);
    assert.equal(runs, 1);
  });

  it('waits in a burst for the last timer of the turn', async (t) => {
    let requests = 0;
    const served: number[] = [];
    const end = new TurnEnd(() => served.push(requests));
    t.mock.method(performance, 'now', () => 1_000);
    const timers = Array.from(
      { length: 20 },
      () =>
        new Promise<void>((resolve) =>
          setTimeout(() => {
            requests += 1;
            end.request();
            resolve();
          }, 20),
        ),
    );
    await Promise.all(timers);
    await nextTurn();
    await nextTurn();
    // The first one ends a pause. The others come before the immediate, unless the machine is so busy that timers are split.
    assert.equal(served[0], 1);
    assert.equal(served.at(-1), 20);
    assert.ok(served.length <= 5, served.join(' '));
  });

  it('runs again for a request that the work itself causes', async () => {
    let runs = 0;
    const end: TurnEnd = new TurnEnd(() => {
      runs += 1;
      if (runs < 3) end.request();
    });
    end.request();
    for (let turns = 0; turns < 10; turns += 1) await nextTurn();
    assert.equal(runs, 3);
  });
});
