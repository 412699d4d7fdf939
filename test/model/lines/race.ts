import { setTimeout } from 'node:timers/promises';
import { type Arbitrary, constantFrom, nat, oneof, option, record } from 'fast-check';
import { isFleetError } from '../../../shared/errors.js';
import type { AuditReport } from './audit.js';
import type { RaceFleet } from './race-fleet.js';
import { type Kind, definitions, keysOf } from './race-tasks.js';

const KEYS = 50;
/** Often the same few keys, so that lines form. */
const item = oneof({ weight: 3, arbitrary: nat(3) }, { weight: 1, arbitrary: nat(KEYS - 1) });

interface Burst {
  readonly kind: Kind;
  readonly item: number;
  readonly other: number;
  readonly count: number;
  readonly ms: number;
  readonly fails: 0 | 1 | 2;
  readonly delay: 0 | 5;
  readonly priority: 0 | 1;
  readonly whenBusy: 'wait' | 'reject' | 'stop-previous' | 'replace-waiting';
}

/** An action of a person, a producer or the machine. `pick` chooses among the tasks or workers of the moment. */
export type Action =
  | { readonly act: 'enqueue'; readonly burst: Burst }
  | { readonly act: 'stop' | 'retry' | 'kill' | 'replace'; readonly pick: number }
  | { readonly act: 'stopItem'; readonly item: number }
  | { readonly act: 'limit'; readonly kind: 'double' | 'fair'; readonly item: number; readonly limit: number | null }
  | { readonly act: 'pause'; readonly ms: number };

const burst: Arbitrary<Burst> = record({
  ...{ kind: constantFrom(...(Object.keys(definitions) as Kind[])), item, other: item, count: nat(7).map((n) => n + 1) },
  ...{
    ms: oneof({ weight: 4, arbitrary: nat(30) }, { weight: 1, arbitrary: constantFrom(300) }),
    fails: constantFrom(0, 0, 0, 1, 2),
    delay: constantFrom(0, 0, 0, 5),
    priority: constantFrom(0, 0, 1),
  },
  whenBusy: constantFrom('wait', 'wait', 'wait', 'wait', 'reject', 'stop-previous', 'replace-waiting'),
});
const pick = nat(30);
export const action: Arbitrary<Action> = oneof(
  { weight: 10, arbitrary: burst.map((value): Action => ({ act: 'enqueue', burst: value })) },
  { weight: 4, arbitrary: pick.map((n): Action => ({ act: 'stop', pick: n })) },
  { weight: 1, arbitrary: item.map((n): Action => ({ act: 'stopItem', item: n })) },
  { weight: 2, arbitrary: pick.map((n): Action => ({ act: 'retry', pick: n })) },
  { weight: 2, arbitrary: pick.map((n): Action => ({ act: 'kill', pick: n })) },
  { weight: 1, arbitrary: pick.map((n): Action => ({ act: 'replace', pick: n })) },
  {
    weight: 2,
    arbitrary: record({ kind: constantFrom('double', 'fair'), item, limit: option(nat(2).map((n) => n + 1)) }).map((values): Action => ({
      act: 'limit',
      ...values,
    })),
  },
  { weight: 5, arbitrary: nat(30).map((ms): Action => ({ act: 'pause', ms })) },
);

/** How long all tasks may take to end after the last action, on a busy machine. */
const PATIENCE_MS = 120_000;
/** After so long without a change, tasks of dead processes may be old enough for the reconciler. */
const WITHOUT_REPAIR_MS = 3_000;
const OLD_MS = 100_000;
/** The limiter's keys that stay: what workers publish, what was set, and its own marks. */
const KEPT: ReadonlySet<string> = new Set(['defined', 'set', 'seq', 'tended', 'sweep']);

/** One run: performs actions without waiting for their effects, lets all tasks end, and returns the handlers' report. */
export async function race(fleet: RaceFleet, actions: readonly Action[]): Promise<AuditReport> {
  const ids: string[] = [];
  const limited = new Map<string, number>();
  const pending: Promise<void>[] = [];
  const errors: unknown[] = [];
  for (const one of actions) {
    const done = perform(fleet, one, ids, limited);
    // A worker's end and a change of limits are steps of their own; everything else overlaps.
    if (['kill', 'replace', 'limit', 'pause'].includes(one.act)) await done;
    else pending.push(done.catch((error: unknown) => void errors.push(error)));
  }
  await Promise.all(pending);
  if (errors.length > 0) throw errors[0];
  for (const [key, defined] of limited) await changeLimit(fleet, key, defined, null);
  await comeToEnd(fleet);
  const report = await fleet.audit.report();
  await fleet.bury();
  return report;
}

async function perform(fleet: RaceFleet, one: Action, ids: string[], limited: Map<string, number>): Promise<void> {
  const { producer } = fleet;
  const target = 'pick' in one ? ids[one.pick % Math.max(1, ids.length)] : undefined;
  switch (one.act) {
    case 'enqueue':
      await Promise.all(Array.from({ length: one.burst.count }, () => enqueue(fleet, one.burst, ids)));
      return;
    case 'stop':
      if (target !== undefined) await producer.stop(target);
      return;
    case 'retry':
      // Only an ended task can be retried.
      if (target !== undefined) await producer.retry(target).catch((error: unknown) => expectRefusal(error));
      return;
    case 'stopItem':
      await producer.stopItem(`item-${one.item}`);
      return;
    case 'limit': {
      const [key, defined] = keysOf(one.kind, `item-${one.item}`, { one: '', two: '' })[0] as [string, number];
      limited.set(key, defined);
      return changeLimit(fleet, key, defined, one.limit);
    }
    case 'kill':
      return fleet.kill(one.pick);
    case 'replace':
      return fleet.replace(one.pick);
    case 'pause':
      await setTimeout(one.ms);
  }
}

async function enqueue({ producer }: RaceFleet, chosen: Burst, ids: string[]): Promise<void> {
  const { kind, item: n, other, ms, fails, delay, priority, whenBusy } = chosen;
  const input = { ms, fails, one: `one-${n}`, two: `two-${other}` };
  // A delayed task lines up later.
  const options = { item: `item-${n}`, priority, ...(delay > 0 ? { delay } : { whenBusy }) };
  try {
    ids.push((await producer.enqueue(definitions[kind], input, options)).id);
  } catch (error) {
    if (!isFleetError(error, 'ITEM_BUSY')) throw error;
  }
}

function expectRefusal(error: unknown): void {
  if (!isFleetError(error)) throw error;
}

function changeLimit({ audit, store }: RaceFleet, key: string, defined: number, limit: number | null): Promise<void> {
  return audit.changed([key, defined], limit, () => store.limiter.set(key, limit));
}

/** Waits until no task is live and the limiter holds nothing. */
async function comeToEnd(fleet: RaceFleet): Promise<void> {
  const { store } = fleet;
  const startedAt = performance.now();
  let [last, changedAt, late] = ['', startedAt, false];
  for (;;) {
    const live = await store.redis.hlen(store.keys.taskQueues);
    const left = await keysLeft(fleet);
    if (live === 0 && left.length === 0) return;
    const [now, state] = [performance.now(), `${live} ${left.join()}`];
    if (state !== last) [last, changedAt] = [state, now];
    if (now - startedAt > PATIENCE_MS) throw new Error(`${live} tasks are stuck; left: ${await describe(fleet, left)}`);
    late ||= now - changedAt > WITHOUT_REPAIR_MS;
    if (fleet.hasDead) await fleet.expireLocks({ settling: late });
    if (late) {
      for (const id of await store.redis.zrange(store.keys.live, '0', '-1'))
        await store.redis.zadd(store.keys.live, 'XX', Date.now() - OLD_MS, id);
      await fleet.reconcile(0);
      await store.limiter.tend({ graceMs: 0, atOnce: true });
    }
    await setTimeout(late ? 100 : 10);
  }
}

async function keysLeft({ store }: RaceFleet): Promise<string[]> {
  const start = store.keys.limiter('');
  return (await store.redis.keys(`${start}*`)).map((key) => key.slice(start.length)).filter((key) => !KEPT.has(key));
}

async function describe({ store }: RaceFleet, left: readonly string[]): Promise<string> {
  const [records, queues] = await Promise.all([
    store.redis.hgetall(store.keys.limiter('tasks')),
    store.redis.hgetall(store.keys.taskQueues),
  ]);
  const views = [...(await store.reader.read(Object.keys(queues), 'whole')).values()].map(
    ({ id, name, state }) => `${id} ${name} ${state}`,
  );
  return `${left.join()}; ${JSON.stringify(records)}; ${views.join(', ')}`;
}
