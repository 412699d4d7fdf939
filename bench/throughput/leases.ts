import { interleave } from '../harness/rounds.js';
import { defineSuite } from '../harness/suite.js';
import { weighTasks } from '../memory/memory.js';
import { measureFleet } from './fleet.js';
import { throughputRows } from './throughput.js';

export const leases = defineSuite({
  name: 'leases',
  about: 'The cost of leases (OPEN_WEBUI=on), which keep the tasks alive beside an open-webui',
  sizes: { rounds: { full: 5, quick: 2 }, tasks: { full: 10_000, quick: 3_000 } },
  async run(env) {
    const { redis, client, sizes } = env;
    const load = { tasks: sizes.tasks, inFlight: 500, concurrency: 64 };
    const rounds = await interleave(env, ['off', 'on'], (openWebui) => measureFleet(redis.url, load, { openWebui }));
    const bytes = { off: [] as number[], on: [] as number[] };
    for (const openWebui of ['off', 'on'] as const) {
      await client.flushall();
      bytes[openWebui].push((await weighTasks(redis.url, client, sizes.tasks, { openWebui })).total);
    }
    const memory = { name: 'memory of a live task with an item', unit: 'bytes', sides: bytes };
    return { rows: [...throughputRows(rounds, 'on', ['off']), { ...memory, ratios: [{ of: 'on', to: 'off', better: 'lower' }] }] };
  },
});
