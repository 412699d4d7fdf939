import { LONG_MS } from '../harness/slow-scripts.js';
import { type Row, defineSuite } from '../harness/suite.js';
import { measureFind } from './find.js';

const SMALL = 3_000;

export const find = defineSuite({
  name: 'find',
  about: 'One page of a list or search, in a small fleet and in a large one',
  sizes: { rounds: { full: 1, quick: 1 }, live: { full: 50_000, quick: 5_000 }, ended: { full: 50_000, quick: 5_000 } },
  async run({ redis, client, sizes, step }) {
    const rows: Row[] = [];
    const notes: string[] = [];
    for (const [fleet, size] of Object.entries({ small: { live: SMALL, ended: SMALL }, large: { live: sizes.live, ended: sizes.ended } })) {
      step(`${fleet}: ${size.live} live and ${size.ended} ended tasks`);
      await client.flushall();
      const { costs, slowest } = await measureFind(redis.url, client, size);
      for (const { query, tasks, commands, bytes, ms } of costs)
        rows.push({ name: `${fleet}: ${query}`, unit: '', sides: { tasks: [tasks], commands: [commands], kB: [bytes / 1_000], ms: [ms] } });
      notes.push(
        `${fleet}: ${size.live} live and ${size.ended} ended tasks; slowest script ${slowest.name}, ${slowest.ms.toFixed(1)} ms; ` +
          `${slowest.long} longer than ${LONG_MS} ms`,
      );
    }
    return { rows, notes };
  },
});
