import { defineTask } from 'taskfleet';
import { z } from 'zod';
import { interleave } from '../harness/rounds.js';
import { type Row, defineSuite } from '../harness/suite.js';
import { type FleetLoad, measureFleet } from '../throughput/fleet.js';
import { throughputRows } from '../throughput/throughput.js';

const input = z.object({ n: z.number() });
const free = defineTask({ name: 'bench.free', input });
const limited = defineTask({ name: 'bench.limited', input, concurrency: { by: 'item', limit: 1 } });

/** Without limits and with one task for each item at a time, each over many items and over one. */
const SIDES = {
  'free, own items': { definition: free, itemOf: (n) => `item-${n}` },
  'limit 1, own items': { definition: limited, itemOf: (n) => `item-${n}` },
  'free, one item': { definition: free, itemOf: () => 'item' },
  'limit 1, one item': { definition: limited, itemOf: () => 'item' },
} as const satisfies Record<string, FleetLoad>;
type SideName = keyof typeof SIDES;

export const limits = defineSuite({
  name: 'limits',
  about: 'The cost of a limit of one task for each item at a time, over as many items as tasks and over one item',
  sizes: { rounds: { full: 3, quick: 2 }, tasks: { full: 3_000, quick: 1_500 } },
  async run(env) {
    const load = { tasks: env.sizes.tasks, inFlight: 500, concurrency: 64 };
    const rounds = await interleave(env, Object.keys(SIDES) as SideName[], (side) => measureFleet(env.redis.url, load, {}, SIDES[side]));
    const [many, one] = [
      throughputRows(rounds, 'limit 1, own items', ['free, own items']),
      throughputRows(rounds, 'limit 1, one item', ['free, one item']),
    ];
    return { rows: many.map((row, index): Row => ({ ...row, ratios: [...(row.ratios ?? []), ...(one[index]?.ratios ?? [])] })) };
  },
});
