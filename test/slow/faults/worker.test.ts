import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { built } from '../../support/process/built.js';
import type { NodeProcess } from '../../support/process/processes.js';
import type { FaultFleet } from './fault-fleet.js';
import { now } from './load/clock.js';
import { faultTest } from './scenario.js';
import { singleRedis } from './single-redis.js';
import { FULL } from './size.js';

/** The lock duration is 15 s by default, 2 s in the short form. */
const LONGER_THAN_LOCKS_MS = FULL ? 20_000 : 3_000;
/** At small size, only the end of a hang: the machine may be slow. */
const DEATH_LIMIT_MS = FULL ? 30_000 : 120_000;

const preload = (name: string): string[] => ['--import', built(`test/slow/faults/load/${name}.mjs`)];
const first = ({ workers }: FaultFleet): NodeProcess => workers[0] as NodeProcess;

describe('Faults of workers', () => {
  faultTest({
    fault: 'Worker killed (SIGKILL)',
    setting: FULL ? '2 workers, 50 tasks each' : '2 workers',
    about: 'Its tasks run again once their locks have expired; the other worker is not delayed.',
    open: () => singleRedis(),
    slots: FULL ? 50 : 10,
    strike: async (fleet) => {
      const held = fleet.log
        .refresh()
        .at(now())
        .filter(({ pid }) => pid === first(fleet).pid).length;
      const at = now();
      first(fleet).kill('SIGKILL');
      await first(fleet).exit;
      return { at, figures: { 'tasks of the dead worker': held } };
    },
    check: (fleet, { at }) => {
      assert.ok(fleet.tailOf(at) <= DEATH_LIMIT_MS, `settled after ${fleet.tailOf(at)} ms`);
    },
  });

  faultTest({
    fault: 'Worker frozen past its locks (SIGSTOP, SIGCONT)',
    setting: `${LONGER_THAN_LOCKS_MS / 1_000} s, 1 of 2 workers`,
    about: 'Its tasks run again elsewhere; nothing that it does after it wakes has an effect.',
    open: () => singleRedis(),
    strike: async (fleet) => {
      first(fleet).kill('SIGSTOP');
      const at = now();
      await delay(LONGER_THAN_LOCKS_MS);
      first(fleet).kill('SIGCONT');
      return { at, freeze: { pid: first(fleet).pid, from: at, to: now() } };
    },
  });

  faultTest({
    fault: "Worker's event loop blocked",
    setting: `${LONGER_THAN_LOCKS_MS / 1_000} s, 1 of 2 workers`,
    about: 'The same as a frozen worker.',
    open: () => singleRedis(),
    workers: 1,
    onlyFull: true,
    strike: async (fleet) => {
      const blocked = await fleet.startWorker({ node: preload('block-loop'), env: { BLOCK_MS: String(LONGER_THAN_LOCKS_MS) } });
      await fleet.busy(blocked);
      blocked.kill('SIGUSR2');
      const at = now();
      await delay(LONGER_THAN_LOCKS_MS);
      return { at };
    },
  });

  const clocks = [
    ['10 minutes ahead', { CLOCK_SHIFT_MS: '600000' }],
    ['10 minutes behind', { CLOCK_SHIFT_MS: '-600000' }],
    ['an hour ahead for 10 s', { CLOCK_SHIFT_MS: '3600000', CLOCK_SHIFT_FOR_MS: '10000' }],
    ['an hour behind for 10 s', { CLOCK_SHIFT_MS: '-3600000', CLOCK_SHIFT_FOR_MS: '10000' }],
  ] as const;
  for (const [words, env] of clocks) {
    faultTest({
      fault: "Worker's clock wrong",
      setting: `${words}, 1 of 2 workers`,
      about: 'All stored times come from the clock of Redis, and locks use no time of day.',
      open: () => singleRedis(),
      workers: 1,
      onlyFull: true,
      strike: async (fleet) => {
        const at = now();
        const wrong = await fleet.startWorker({ node: preload('shift-clock'), env });
        await fleet.busy(wrong);
        return { at };
      },
    });
  }
});
