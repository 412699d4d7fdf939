import { quantileByRound } from '../harness/statistics.js';
import { type Row, defineSuite } from '../harness/suite.js';
import { measureStops } from './stop-latency.js';

const SIDES = [
  { title: '1 worker', workers: 1 },
  { title: '10 workers', workers: 10 },
  { title: '50 workers', workers: 50 },
  { title: 'under load', workers: 1, loaded: 0.7 },
] as const;
const QUANTILES = { p50: 0.5, p99: 0.99 };

export const stops = defineSuite({
  name: 'stops',
  about: 'Stops of a running task in another process, each beside a bare pub/sub hop to that process',
  sizes: { rounds: { full: 5, quick: 2 }, stops: { full: 500, quick: 100 } },
  async run({ redis, client, sizes, step }) {
    const rows: Row[] = [];
    for (const { title, ...side } of SIDES) {
      step(title);
      await client.flushall();
      const { hop, abort, receipt } = await measureStops(redis.url, { rounds: sizes.stops, ...side });
      for (const [name, q] of Object.entries(QUANTILES)) {
        const [hops, aborts, receipts] = [hop, abort, receipt].map((all) => quantileByRound(all, sizes.rounds, q)) as [
          number[],
          number[],
          number[],
        ];
        rows.push({
          name: `${title}, ${name}`,
          unit: 'ms',
          sides: { hop: hops, 'stop → abort': aborts, 'stop → receipt': receipts },
          ratios: [
            { of: 'stop → abort', to: 'hop', better: 'lower' },
            { of: 'stop → receipt', to: 'hop', better: 'lower' },
          ],
        });
      }
    }
    return {
      rows,
      notes: [
        'Under load: all 50 slots of a second worker in the process take tasks of 50 ms, and Redis is busy for 70 % of its time, calibrated in this run.',
      ],
    };
  },
});
