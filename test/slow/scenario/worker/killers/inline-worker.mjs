// A program with its own worker: its handlers are in no module that a thread could load.
import { createWorker } from '../../../../../dist/worker/index.js';
import { handlers } from './killer-tasks.mjs';

const { REDIS_URL, REDIS_KEY_PREFIX, LOCK_DURATION_MS, STALLED_CHECK_INTERVAL_MS, EVENT_LOOP_TIMEOUT_MS } = process.env;
const worker = await createWorker({
  redisUrl: REDIS_URL,
  keyPrefix: REDIS_KEY_PREFIX,
  lockMs: Number(LOCK_DURATION_MS ?? 15_000),
  stalledCheckMs: Number(STALLED_CHECK_INTERVAL_MS ?? 5_000),
  eventLoopTimeoutMs: Number(EVENT_LOOP_TIMEOUT_MS ?? 30_000),
  pid: process.pid,
  watchdog: true,
  handlers,
});
await worker.start();
await worker.ready();
console.log('Worker is ready');
process.once('SIGTERM', () => void worker.stop().then(() => process.exit(0)));
