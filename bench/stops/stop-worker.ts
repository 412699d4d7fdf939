import { setTimeout as sleep } from 'node:timers/promises';
/**
 * The other process of the stop benchmark: runs tasks that wait for their abort, and receives bare messages. Sends the time of each to
 * its parent, by the machine's monotonic clock, which both processes share.
 */
import { Redis } from 'ioredis';
import { createWorker, defineHandler } from 'taskfleet/worker';
import { BUSY_MS, BUSY_SLOTS, HOP_CHANNEL, type Seen, busyTask, waitForStop } from './stop-latency.js';

const redisUrl = process.argv[2] as string;
const tell = (seen: Seen): void => void process.send?.(seen);
/** More than a stop takes. */
const TELL_MS = 5;
const now = (): number => Number(process.hrtime.bigint()) / 1e6;

const handler = defineHandler(waitForStop, ({ id, signal }) => {
  tell({ what: 'started', id, at: now() });
  return new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => {
      const at = now();
      reject(signal.reason as Error);
      // Told later: the message would delay the receipt.
      if (process.argv[4] !== 'quiet') setTimeout(() => tell({ what: 'aborted', id, at }), TELL_MS);
    });
  });
});

const concurrency = Number(process.argv[3] ?? 100);
const worker = await createWorker({ redisUrl, concurrency, handlers: [handler], logLevel: 'warn', pid: process.pid });
await worker.start();
await worker.ready();
const busy = process.argv[4] === 'busy' ? await startBusy() : null;

const subscriber = new Redis(redisUrl, { protocol: 2 });
subscriber.on('message', (_channel, id) => tell({ what: 'heard', id, at: now() }));
await subscriber.subscribe(HOP_CHANNEL);
tell({ what: 'ready', id: '', at: now() });

process.on('disconnect', () => {
  subscriber.disconnect();
  void worker.stop();
  void busy?.stop();
});

async function startBusy() {
  const holding = defineHandler(busyTask, () => sleep(BUSY_MS));
  const other = await createWorker({ redisUrl, concurrency: BUSY_SLOTS, handlers: [holding], logLevel: 'warn', pid: process.pid });
  await other.start();
  await other.ready();
  return other;
}
