import { isTerminal } from '../../shared/task/state.js';
import { EMPTY_REGISTRY } from '../support/fleet/test-fleet.js';
import { until } from '../support/until.js';
import { QUEUE } from './arena.js';
import { lifeOf } from './facts.js';
import type { World } from './world.js';

/** Longer than any step of a run, on a busy machine: beyond it, something hangs. */
const PATIENCE_MS = 30_000;
/** From then on, the locks of tasks that a dead worker was settling expire too. */
const SETTLE_AFTER_MS = 2_500;
/** The limit for the registry to become empty without the reconciler. */
const WITHOUT_RECONCILER_MS = 3_000;
/** The reconciler skips younger entries. */
const OLD_MS = 10_000;

/** Lets all tasks end, and checks that nothing is left. */
export async function bringToEnd(world: World): Promise<void> {
  const { model, gates } = world;
  gates.open();
  const startedAt = performance.now();
  for (;;) {
    const busy = world.busy;
    const views = await world.observe();
    model.acknowledge();
    model.check();
    const live = [...views.values()].filter(({ state }) => !isTerminal(state));
    if (live.length === 0 && !busy) break;
    const waitedMs = performance.now() - startedAt;
    if (waitedMs > PATIENCE_MS) {
      for (const { id, state } of live) model.violated(`${model.byId(id)?.label} is still ${state}: ${await world.describe(id)}`);
      if (busy) model.violated('a call has no answer');
      model.check();
    }
    endCalls(world);
    await world.wake();
    // A call may wait for a task that a dead worker was settling: its lock expires in any case.
    await settleTheDead(world, !busy || waitedMs > SETTLE_AFTER_MS);
    await new Promise(setImmediate);
  }
  for (const call of world.open) call.end('returns');
  await checkNothingLeft(world);
}

/** The handler of a stopped task must be aborted; all others end normally. */
function endCalls(world: World): void {
  for (const call of world.open) {
    const { task, life, worker, abortedBy } = call;
    const mustHear = !worker.dead && life === lifeOf(task) && life.end === null && world.model.isStopped(task);
    if (abortedBy) call.end('throws');
    else if (!mustHear) call.end('returns');
  }
}

async function settleTheDead(world: World, settling: boolean): Promise<void> {
  for (const worker of world.died) await world.expireLocks(worker, { settling });
  await world.findStalled();
  if (world.died.length > 0) await world.reconcile(60_000);
}

async function checkNothingLeft(world: World): Promise<void> {
  const { arena, model, died } = world;
  const { client } = arena.fleet;
  const { keys } = arena.store;
  const size = () => arena.fleet.registrySize(arena.prefix);
  const isEmpty = (now: typeof EMPTY_REGISTRY) => Object.values(now).every((count) => count === 0);
  const describeLeft = async (): Promise<string> => {
    const left = await client.hkeys(keys.tasks);
    return (await Promise.all(left.map(async (id) => `${model.byId(id)?.label ?? id}: ${await world.describe(id)}`))).join('; ');
  };
  const patience = performance.now() + WITHOUT_RECONCILER_MS;
  if (died.length === 0) await until(size, (now) => isEmpty(now) || performance.now() > patience);
  if (!isEmpty(await size())) {
    // A dead process may have left entries; the reconciler removes them once they are old enough.
    if (died.length === 0) console.log(`left to the reconciler without a dead process: ${await describeLeft()}`);
    for (const id of await client.zrange(keys.live, '0', '-1')) await client.zadd(keys.live, 'XX', Date.now() - OLD_MS, id);
    await world.reconcile(0);
  }
  await until(size, isEmpty).catch(async () =>
    model.violated(`left in the registry: ${JSON.stringify(await size())} ${await describeLeft()}`),
  );
  const idle = () => arena.alive.flatMap(({ launcher }) => launcher.status().running);
  await until(idle, (running) => running.length === 0).catch(() => model.violated(`still running: ${idle().join()}`));
  const jobs = keys.jobs(QUEUE);
  const [active, waiting, delayed, early, locks] = await Promise.all([
    client.llen(`${jobs}active`),
    client.llen(`${jobs}wait`),
    client.zcard(`${jobs}delayed`),
    client.hlen(keys.pendingStops),
    client.keys(`${jobs}*:lock`),
  ]);
  if (active + waiting + delayed + early + locks.length > 0)
    model.violated(`left behind: ${JSON.stringify({ active, waiting, delayed, early, locks })}`);
  for (const worker of died) {
    await client.zrem(keys.workers, worker.id);
    // The worker turns out to be only disconnected. Its writes are refused, and it ends sooner.
    Object.assign(worker, { dead: false, retiring: true });
    await arena.readmit(worker.user);
  }
  await world.observe();
  model.check();
}
