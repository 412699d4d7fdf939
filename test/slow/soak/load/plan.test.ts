import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Topology } from '../options.js';
import { FAULT_KINDS, type Plan, type PlannedFault, planOf } from './plan.js';

const OPTIONS = { minutes: 20, topology: 'cluster' as Topology, workers: 3, lockMs: 5_000 };
const faultsOf = ({ workers, redis }: Plan): PlannedFault[] => [...workers, ...redis];

describe('The plan of a soak', () => {
  it('is the same for the same seed only', () => {
    assert.deepEqual(planOf({ ...OPTIONS, seed: 42 }), planOf({ ...OPTIONS, seed: 42 }));
    assert.notDeepEqual(planOf({ ...OPTIONS, seed: 42 }), planOf({ ...OPTIONS, seed: 43 }));
  });

  it('begins like a longer plan of the same seed', () => {
    const [short, long] = [planOf({ ...OPTIONS, seed: 42, minutes: 5 }), planOf({ ...OPTIONS, seed: 42 })];
    for (const lane of ['workers', 'redis'] as const) {
      assert.ok(short[lane].length > 3);
      assert.deepEqual(short[lane], long[lane].slice(0, short[lane].length));
    }
  });

  it('has every kind of fault, and faults of slots on a cluster only', () => {
    const kindsOf = (topology: Topology): string[] =>
      [...new Set(faultsOf(planOf({ ...OPTIONS, topology, seed: 1 })).map(({ kind }) => kind))].toSorted();
    assert.deepEqual(kindsOf('cluster'), FAULT_KINDS.toSorted());
    assert.deepEqual(kindsOf('standalone'), FAULT_KINDS.filter((kind) => kind !== 'slots-move').toSorted());
  });

  it('leaves time between faults of a lane, and after the last one', () => {
    for (let seed = 0; seed < 100; seed += 1) {
      const plan = planOf({ ...OPTIONS, seed });
      for (const lane of [plan.workers, plan.redis]) {
        for (const [index, fault] of lane.entries()) {
          const lastsMs = 'awayMs' in fault ? fault.awayMs : 'forMs' in fault ? fault.forMs : 0;
          assert.ok(
            fault.atMs + lastsMs + 5_000 <= (lane[index + 1]?.atMs ?? OPTIONS.minutes * 60_000) + 1,
            `seed ${seed}: ${JSON.stringify(fault)}`,
          );
        }
      }
    }
  });

  it('freezes workers for longer than the lock duration, and never kills the first one', () => {
    for (let seed = 0; seed < 100; seed += 1) {
      for (const fault of faultsOf(planOf({ ...OPTIONS, seed }))) {
        if (fault.kind === 'worker-freeze') assert.ok(fault.forMs > OPTIONS.lockMs && fault.worker >= 0 && fault.worker < 3);
        if (fault.kind === 'worker-kill' || fault.kind === 'worker-term') assert.ok(fault.worker > 0 && fault.worker < 3);
      }
    }
  });

  it('is empty without time for a fault', () => {
    assert.deepEqual(planOf({ ...OPTIONS, seed: 1, minutes: 0.1 }), { workers: [], redis: [] });
  });
});
