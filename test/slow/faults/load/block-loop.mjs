// Loaded before a worker with `node --import`: SIGUSR2 blocks the event loop for BLOCK_MS.
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  process.on('SIGUSR2', () => {
    const end = performance.now() + Number(process.env.BLOCK_MS);
    while (performance.now() < end);
  });
}
