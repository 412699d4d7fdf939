import { type Rounds, interleave, ratiosTo, rowOf } from '../harness/rounds.js';
import { type Row, defineSuite } from '../harness/suite.js';
import { measureBullMq } from './bullmq.js';
import { measureFleet } from './fleet.js';
import type { Load, Throughput } from './load.js';

const SIDES = {
  'bare BullMQ': (url: string, load: Load) => measureBullMq(url, load, { uuids: false }),
  'bare, our ids': (url: string, load: Load) => measureBullMq(url, load, { uuids: true }),
  fleet: (url: string, load: Load) => measureFleet(url, load),
} as const;
type SideName = keyof typeof SIDES;

export const throughput = defineSuite({
  name: 'throughput',
  about: 'No-op tasks, enqueued by 500 concurrent calls, then processed with concurrency 64: the fleet and bare BullMQ',
  sizes: { rounds: { full: 7, quick: 3 }, tasks: { full: 20_000, quick: 5_000 } },
  async run(env) {
    const load = { tasks: env.sizes.tasks, inFlight: 500, concurrency: 64 };
    const rounds = await interleave(env, Object.keys(SIDES) as SideName[], (side) => SIDES[side](env.redis.url, load));
    return { rows: throughputRows(rounds, 'fleet', ['bare BullMQ', 'bare, our ids']) };
  },
});

/** Returns the rate and the CPU time of both phases, comparing one side with others. */
export function throughputRows<Name extends string>(rounds: Rounds<Name, Throughput>, of: Name, others: readonly Name[]): Row[] {
  return (['enqueue', 'process'] as const).flatMap((phase) => [
    rowOf(rounds, { name: phase, unit: 'jobs/s', ratios: ratiosTo(of, others, 'higher') }, (one) => one[phase].rate),
    rowOf(rounds, { name: `${phase}, CPU in Node`, unit: 'µs/job', ratios: ratiosTo(of, others, 'lower') }, (one) => one[phase].cpu.node),
    rowOf(rounds, { name: `${phase}, CPU in Redis`, unit: 'µs/job', ratios: ratiosTo(of, others, 'lower') }, (one) => one[phase].cpu.redis),
  ]);
}
