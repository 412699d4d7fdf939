import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Redis } from 'ioredis';
import { fleetCanary } from 'taskfleet';
import { createDashboard } from 'taskfleet/dashboard';
import { createProducer } from 'taskfleet/producer';
import { quantileByRound } from '../harness/statistics.js';
import { defineSuite } from '../harness/suite.js';

const PREFIX = 'list';
const BATCH = 1_000;
/** Every nth task is visible to the restricted caller. */
const OWN = 1_000;
const PAGE = 100;
const FIELDS = ['name', 'opts', 'timestamp', 'progress', 'returnvalue', 'failedReason', 'atm', 'processedOn', 'finishedOn', 'stop'];

export const list = defineSuite({
  name: 'list',
  about: 'The first page of a long list over HTTP, beside the bare reads that it needs, and the page of a caller with few items',
  sizes: { rounds: { full: 5, quick: 2 }, pages: { full: 50, quick: 10 }, listed: { full: 50_000, quick: 5_000 } },
  async run({ redis, client, sizes }) {
    const times = await measureList(redis.url, client, { tasks: sizes.listed, rounds: sizes.pages });
    const sides = (q: number): Record<string, number[]> => ({
      'bare reads': quantileByRound(times.bare, sizes.rounds, q),
      'page of 100': quantileByRound(times.api, sizes.rounds, q),
      'few items': quantileByRound(times.own, sizes.rounds, q),
    });
    const ratios = [
      { of: 'page of 100', to: 'bare reads', better: 'lower' },
      { of: 'few items', to: 'bare reads', better: 'lower' },
    ] as const;
    return {
      rows: [
        { name: 'first page, p50', unit: 'ms', sides: sides(0.5), ratios },
        { name: 'first page, p99', unit: 'ms', sides: sides(0.99), ratios },
      ],
    };
  },
});

/** Times in ms. */
interface ListTimes {
  /** The first page over HTTP. */
  readonly api: readonly number[];
  /** The same reads on a bare connection. */
  readonly bare: readonly number[];
  /** All tasks of a caller that may see one in a thousand. */
  readonly own: readonly number[];
}

/** Times the first page of a long list over the API, alternating with the bare reads that it needs. */
async function measureList(redisUrl: string, redis: Redis, { tasks, rounds }: { tasks: number; rounds: number }): Promise<ListTimes> {
  const producer = createProducer({ redisUrl, keyPrefix: PREFIX, logLevel: 'error' });
  // Reading an empty registry marks its indexes as complete, as the reconciler does.
  await producer.list();
  for (let n = 0; n < tasks; n += BATCH) {
    await producer.enqueueMany(
      fleetCanary,
      Array.from({ length: BATCH }, (_, index) => ({ input: {}, item: (n + index) % OWN === 0 ? `mine-${n}` : `other-${index}` })),
    );
  }
  const items = (own: boolean): readonly string[] | null => (own ? ['mine-*'] : null);
  const dashboard = createDashboard({
    producer,
    auth: (req) => ({ name: 'bench', role: 'viewer', via: 'token', items: items(req.headers['x-own'] === '1') }),
  });
  const server = createServer((req, res) => dashboard.router(req, res, () => res.writeHead(404).end())).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/v1/tasks`;
  const times = { api: [] as number[], bare: [] as number[], own: [] as number[] };
  const page = async (own: boolean): Promise<void> => {
    const answer = await fetch(url, { headers: own ? { 'x-own': '1' } : {} });
    const { tasks: listed } = (await answer.json()) as { tasks: unknown[] };
    if (listed.length !== (own ? Math.min(PAGE, Math.ceil(tasks / OWN)) : PAGE)) throw new Error(`${listed.length} tasks on the page`);
  };
  for (let round = -5; round < rounds; round += 1) {
    const [api, bare, own] = [await time(() => page(false)), await time(() => readBare(redis)), await time(() => page(true))];
    // The first rounds are the warm-up.
    if (round < 0) continue;
    times.api.push(api);
    times.bare.push(bare);
    times.own.push(own);
  }
  await dashboard.close();
  server.close();
  server.closeAllConnections();
  await producer.close();
  return times;
}

async function readBare(redis: Redis): Promise<void> {
  const ids = await redis.zrange(`${PREFIX}:tasks:live`, '+inf', '-inf', 'BYSCORE', 'REV', 'LIMIT', 0, PAGE);
  const [, queues] = await Promise.all([redis.hmget(`${PREFIX}:tasks`, ...ids), redis.hmget(`${PREFIX}:tasks:queues`, ...ids)]);
  await Promise.all(ids.map((id, index) => redis.hmget(`${PREFIX}:bull:${queues[index]}:${id}`, ...FIELDS)));
}

async function time(work: () => Promise<void>): Promise<number> {
  const since = performance.now();
  await work();
  return performance.now() - since;
}
