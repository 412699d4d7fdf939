/**
 * The other workers of the stop benchmark: the given number, each subscribed to stop commands, and one bare subscriber for each, so
 * that both sides publish to the same number of connections.
 */
import { Redis } from 'ioredis';
import { createWorker } from 'taskfleet/worker';
import { HOP_CHANNEL } from './stop-latency.js';

const redisUrl = process.argv[2] as string;
const size = Number(process.argv[3]);

const subscribers = Array.from({ length: size }, () => new Redis(redisUrl, { protocol: 2 }));
await Promise.all(subscribers.map((subscriber) => subscriber.subscribe(HOP_CHANNEL)));
const workers = await Promise.all(subscribers.map(() => createWorker({ redisUrl, concurrency: 1, logLevel: 'error', pid: process.pid })));
await Promise.all(workers.map((worker) => worker.start()));
await Promise.all(workers.map((worker) => worker.ready()));
process.send?.('ready');

process.on('disconnect', () => {
  for (const subscriber of subscribers) subscriber.disconnect();
  for (const worker of workers) void worker.stop();
});
