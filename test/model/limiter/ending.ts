import { setTimeout } from 'node:timers/promises';
import { type Ledger, readLedger } from './ledger.js';
import type { LimiterWorld } from './world.js';

/** Longer than the end of any run, on a busy machine: beyond it, a task is stuck. */
const PATIENCE_MS = 30_000;

/** Lets all tasks run and end, and checks that no key is stuck and nothing is left. */
export async function bringToEnd(world: LimiterWorld): Promise<void> {
  const { inspector, arena } = world;
  world.note('(the end)');
  world.repeats = false;
  for (const id of arena.set.keys()) {
    await world.set(id, null);
    await inspector.inspect();
  }
  for (const entrant of world.at('registered', 'adding', 'added', 'releasing')) await world.die(entrant);
  const deadline = performance.now() + PATIENCE_MS;
  while (world.live.length > 0) {
    await comeToRest(world);
    for (const entrant of world.at('fetched', 'parking', 'added')) await world.goOn(entrant);
    for (const entrant of world.at('running')) await world.end(entrant, 'completes');
    for (const entrant of world.at('releasing')) await world.goOn(entrant);
    for (let entrant = await world.fetch(); entrant; entrant = await world.fetch()) {
      // A worker has one task at a time here, and parks a task before the next.
      while (['fetched', 'parking', 'added'].includes(entrant.phase)) await world.goOn(entrant);
    }
    await inspector.inspect();
    inspector.report();
    if (performance.now() > deadline) {
      const ledger = await readLedger(arena.redis, arena.start);
      for (const { id, label, phase } of world.live)
        inspector.violated(`${label} is stuck: ${phase}, ${JSON.stringify(ledger.records.get(id) ?? 'without a record')}`);
      inspector.report();
    }
    if (world.at('running').length === 0) await setTimeout(1);
  }
  await comeToRest(world);
  const left = inspector.checkNothingLeft(await readLedger(arena.redis, arena.start));
  inspector.report();
  if (left.length > 0) await arena.redis.del(...left.map((key) => arena.start + key));
}

/** Tends the lines until that changes nothing, and checks that no task waits for a free place. */
async function comeToRest(world: LimiterWorld): Promise<void> {
  const { arena, inspector } = world;
  await world.readmit();
  let now = '';
  for (let before = null; before !== now;) {
    before = now;
    await world.tend(true);
    now = shape(await readLedger(arena.redis, arena.start));
  }
  inspector.checkRest(await inspector.inspect());
  inspector.report();
}

function shape({ records, places, lines }: Ledger): string {
  return JSON.stringify([[...records].map(([id, { state, step }]) => [id, state, step]), [...places], [...lines]]);
}
