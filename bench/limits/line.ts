import { LONG_MS } from '../harness/slow-scripts.js';
import { defineSuite } from '../harness/suite.js';
import { measureLine } from './long-line.js';

const WARM_UP = 200;

export const line = defineSuite({
  name: 'line',
  about: 'Tasks that wait for one key of a limit',
  sizes: { rounds: { full: 1, quick: 1 }, line: { full: 100_000, quick: 5_000 } },
  async run({ redis, client, sizes, step }) {
    // Loads the scripts: the slow log shows only the text of those that are called for the first time.
    await measureLine(redis.url, client, WARM_UP);
    await client.flushall();
    step(`${sizes.line} tasks`);
    const phases = await measureLine(redis.url, client, sizes.line);
    return {
      rows: phases.map(({ name, tookMs, slowest }) => ({
        name,
        unit: '',
        sides: { ms: [tookMs], 'slowest script, ms': [slowest.ms], [`scripts over ${LONG_MS} ms`]: [slowest.long] },
      })),
      notes: phases.map(({ name, slowest }) => `${name}: the slowest script is ${slowest.name}`),
    };
  },
});
