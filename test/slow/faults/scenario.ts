import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { ProblemKind } from './audit/audit.js';
import { type Freeze, isOfFrozen } from './audit/frozen.js';
import { report, tally } from './audit/report.js';
import { type Deployment, FaultFleet } from './fault-fleet.js';
import type { LoadOptions } from './load/load.js';
import { FULL, ONLY } from './size.js';

/** Settings that make a fleet react within seconds instead of half a minute. */
const SHORT = {
  ...{ LOCK_DURATION_MS: '2000', STALLED_CHECK_INTERVAL_MS: '500', HEARTBEAT_INTERVAL_MS: '500', RECONCILE_INTERVAL_MS: '500' },
  ...{ ENQUEUE_GRACE_MS: '2000', STOP_GRACE_MS: '500', STOP_POLL_INTERVAL_MS: '500' },
  THREAD_POOL_SIZE: '1',
};
const SMALL_LOAD: LoadOptions = { backlog: 120, perSecond: 60, stopsPerSecond: 20, longestMs: 400, holds: 6, mostUnfinished: 300 };
const FULL_LOAD: LoadOptions = { backlog: 1_000, perSecond: 100, stopsPerSecond: 20, longestMs: 1_000, holds: 20, mostUnfinished: 10_000 };
const TEST_LIMIT_MS = 540_000;
const RECOVERY_LIMIT_MS = FULL ? 60_000 : 180_000;
/** How long a worker that has woken may take to notice that its locks are gone: longer than a lock holds. */
const NOTICE_MS = 30_000;

/** Facts about a fault that the load does not show. */
export interface Struck {
  /** The start by `now`. */
  readonly at: number;
  readonly figures?: Readonly<Record<string, string | number>>;
  /** The worker that the fault froze: its handlers cannot hear of a stop before it wakes. */
  readonly freeze?: Freeze;
}

export interface FaultScenario {
  readonly fault: string;
  readonly setting: string;
  /** For the table: the expected effect of the fault. */
  readonly about: string;
  readonly open: () => Promise<Deployment>;
  /** Causes the fault, and resolves when it is over. */
  readonly strike: (fleet: FaultFleet) => Promise<Struck>;
  /** Changes to the standard load. */
  readonly load?: { readonly small?: Partial<LoadOptions>; readonly full?: Partial<LoadOptions> };
  /** Settings of the workers in both sizes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default 2. */
  readonly workers?: number;
  /** Concurrency of each worker. Default 25 at full size, 10 at small size. */
  readonly slots?: number;
  /** Whether it takes too long for the tests. */
  readonly onlyFull?: boolean;
  /** Problems that are unavoidable because the fault destroys data: counted, without failing the test. */
  readonly tolerates?: readonly ProblemKind[];
  /** The limit for the recovery of enqueues, tasks and stops, in ms from the fault. Default 60,000 at full size, 180,000 at small size. */
  readonly recoveryLimitMs?: number;
  /** Further assertions, once the fleet is at rest. */
  readonly check?: (fleet: FaultFleet, struck: Struck) => Promise<void> | void;
}

/** Defines the test of a fault: load, fault, recovery, rest, audit. */
export function faultTest(scenario: FaultScenario): void {
  const { fault, setting, about, onlyFull = false, tolerates = [], recoveryLimitMs = RECOVERY_LIMIT_MS } = scenario;
  const name = `${fault}, ${setting}`;
  const skip = skipReason(name, onlyFull);
  it(name, { timeout: TEST_LIMIT_MS, skip }, async (t) => {
    const fleet = await FaultFleet.start({
      deployment: await scenario.open(),
      load: { ...(FULL ? FULL_LOAD : SMALL_LOAD), ...(FULL ? scenario.load?.full : scenario.load?.small) },
      workers: scenario.workers ?? 2,
      slots: scenario.slots ?? (FULL ? 25 : 10),
      env: { ...(FULL ? {} : SHORT), ...scenario.env },
    });
    try {
      await fleet.begin();
      const struck = await scenario.strike(fleet);
      const recovery = await fleet.recovered(struck.at, recoveryLimitMs);
      const settled = await fleet.settle(tolerates.includes('stop lost'));
      const freezes = struck.freeze === undefined ? [] : [struck.freeze];
      const problems = settled.problems.filter((problem) => !isOfFrozen(problem, fleet, freezes, NOTICE_MS));
      const found = tally(problems);
      const rejected: Record<string, number> = {};
      for (const { code, message } of fleet.history.refusedEnqueues) {
        const why = code === 'none' ? message : code;
        rejected[why] = (rejected[why] ?? 0) + 1;
      }
      const row = {
        ...{ fault, setting, about, recovery, rejected, audit: settled.counts },
        silenceMs: Math.round(fleet.history.longestSilence(struck.at)),
        tailMs: fleet.tailOf(struck.at),
        tolerated: Object.fromEntries(Object.entries(found).filter(([kind]) => tolerates.includes(kind as ProblemKind))),
        figures: struck.figures ?? {},
      };
      const unexpected = problems.filter(({ kind }) => !tolerates.includes(kind));
      report({ ...row, unexpected: tally(unexpected) });
      t.diagnostic(JSON.stringify({ ...row, about: undefined }));
      const shown = unexpected.slice(0, 5).map((problem) => ({
        ...problem,
        runs: fleet.log.of(problem.id),
        receipts: fleet.history.receiptsOf(problem.id),
        task: fleet.history.enqueued.get(problem.id),
      }));
      assert.deepEqual(tally(unexpected), {}, JSON.stringify(shown, null, 1));
      await scenario.check?.(fleet, struck);
    } finally {
      await fleet.close();
    }
  });
}

function skipReason(name: string, onlyFull: boolean): string | false {
  if (onlyFull && !FULL) return 'takes long: npm run faults';
  return !name.includes(ONLY) && 'not asked for';
}
