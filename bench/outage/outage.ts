/**
 * `node --import tsx bench/outage/outage.ts <fault> [seconds]` after a build: measures the memory and the answers of a producer that keeps
 * enqueueing while Redis is down. Faults: `killed`, `half-open`, `dead-master` (a cluster's master of the registry and its replica),
 * `dead-queue` (the master of one queue, while that of another queue is up), `none`. Load: 1,000 concurrent enqueues per second.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { defineTask, isFleetError } from 'taskfleet';
import { type ProducerConfig, createProducer } from 'taskfleet/producer';
import { z } from 'zod';
import { createKeys } from '../../shared/keys.js';
import { FaultProxy } from '../../test/support/network/fault-proxy.js';
import { TestCluster } from '../../test/support/redis/test-cluster.js';
import { type TestRedis, startTestRedis } from '../../test/support/redis/test-redis.js';

const TICK_MS = 10;
const ENQUEUES_A_TICK = 10;
const WARM_UP_S = 5;
const SAMPLES = 12;

const RETENTION = { completed: { ageMs: 60_000, count: 10 }, failed: { ageMs: 60_000, count: 10 } };
const input = z.object({ text: z.string() });
/** Two queues on different masters of the cluster, neither on that of the registry. */
const notes = ['other', 'notes'].map((queue) => defineTask({ name: `${queue}.note`, queue, input, retention: RETENTION }));
const [fault = 'none', seconds = '60'] = process.argv.slice(2);

/** A Redis, the fault, and its end. */
interface Target {
  readonly config: Partial<ProducerConfig> & { readonly redisUrl: string };
  breakIt(): Promise<void>;
  stop(): Promise<void>;
}

async function target(): Promise<Target> {
  if (fault.startsWith('dead-')) return deadMaster();
  const redis = await startTestRedis();
  const proxy = await FaultProxy.start(redis.port);
  const breakIt = async (): Promise<void> => {
    if (fault === 'killed') await redis.kill();
    if (fault === 'half-open') proxy.halfOpen();
  };
  const stop = async (): Promise<void> => {
    await proxy.stop();
    await redis.stop();
  };
  return { config: { redisUrl: fault === 'killed' ? redis.url : proxy.url }, breakIt, stop };
}

async function deadMaster(): Promise<Target> {
  const cluster = await TestCluster.start({ config: ['cluster-require-full-coverage no'] });
  const keys = createKeys('taskfleet', true);
  const [registry, ...queues] = await Promise.all(
    [keys.tasks, ...notes.map(({ queue }) => keys.jobs(queue))].map((key) => cluster.masterOf(key)),
  );
  const master = fault === 'dead-master' ? registry : queues[0];
  console.log(`masters: registry ${registry?.port}, queues ${queues.map(({ port }) => port).join(', ')}`);
  const breakIt = async (): Promise<void> => {
    const index = cluster.nodes.indexOf(master as TestRedis);
    for (const node of [cluster.nodes[index], cluster.nodes[index + 3]]) await node?.kill();
  };
  return { config: { redisUrl: cluster.url, cluster: true }, breakIt, stop: () => cluster.stop() };
}

const redis = await target();
const producer = createProducer({ logLevel: 'silent', ...redis.config });
const answers = new Map<string, number>();
let waiting = 0;
let mostWaiting = 0;
let slowestMs = 0;

function enqueue(n: number): void {
  const note = notes[n % notes.length] as (typeof notes)[number];
  const askedAt = performance.now();
  waiting += 1;
  mostWaiting = Math.max(mostWaiting, waiting);
  const settled = (answer: string): void => {
    waiting -= 1;
    slowestMs = Math.max(slowestMs, performance.now() - askedAt);
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  };
  producer.enqueue(note, { text: 'x'.repeat(100) }).then(
    () => settled('enqueued'),
    (error: unknown) => settled(isFleetError(error) ? `${error.code}: ${error.message.replaceAll(/\d{4,}/g, 'N')}` : String(error)),
  );
}

const timer = setInterval(() => {
  for (let n = 0; n < ENQUEUES_A_TICK; n += 1) enqueue(n);
}, TICK_MS);
await delay(WARM_UP_S * 1_000);
const megabytes = (): number => {
  globalThis.gc?.();
  return Math.round(process.memoryUsage().rss / 1e5) / 10;
};
const before = megabytes();
const counted = answers.get('enqueued') ?? 0;
await redis.breakIt();
const samples: number[] = [];
for (let n = 0; n < SAMPLES; n += 1) {
  await delay((Number(seconds) * 1_000) / SAMPLES);
  samples.push(megabytes());
}
clearInterval(timer);
console.log(
  `${fault}, ${seconds} s: ${counted} enqueued before; RSS ${before} MB before, then ${samples.join(', ')}: ` +
    `up to +${Math.round((Math.max(...samples) - before) * 10) / 10} MB`,
);
console.log(`most pending calls ${mostWaiting}, slowest answer ${Math.round(slowestMs)} ms`);
for (const [answer, count] of answers) console.log(`${String(count).padStart(8)}  ${answer}`);
await producer.close();
await redis.stop();
