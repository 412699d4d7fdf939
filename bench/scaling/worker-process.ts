/**
 * A worker process of the scaling benchmark. It starts and stops a worker at its parent's request, so that one process serves several
 * measurements, and reports how many tasks it has run and the CPU time that it has used.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type FleetWorker, createWorker, defineHandler } from 'taskfleet/worker';
import { type Order, type Report, type WorkerOrder, loadOf } from './load.js';

let worker: FleetWorker | null = null;
let ran = 0;

process.on('message', (order: Order) => void obey(order));
process.on('disconnect', () => process.exit());

async function obey(order: Order): Promise<void> {
  if (order.what === 'start') await start(order);
  if (order.what === 'stop') await stop();
  const { user, system } = process.cpuUsage();
  const report: Report = { ran, cpuUs: user + system };
  process.send?.(report);
}

async function start({ config, shards, taskMs, concurrency }: WorkerOrder): Promise<void> {
  ran = 0;
  const handler = defineHandler(loadOf(shards), async ({ signal }) => {
    ran += 1;
    await delay(taskMs, undefined, { signal });
    return null;
  });
  worker = await createWorker({ ...config, concurrency, handlers: [handler], logLevel: 'error', pid: process.pid });
  await worker.start();
  await worker.ready();
}

async function stop(): Promise<void> {
  await worker?.stop();
  worker = null;
}
