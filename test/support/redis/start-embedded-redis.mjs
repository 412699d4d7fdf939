/** A program: starts the embedded redis-server in a folder, prints its pid, and stops it on SIGTERM. */
import { once } from 'node:events';
import { pino } from 'pino';
import { startEmbeddedRedis } from '../../../dist/shared/embedded-redis/embedded.js';
import { freePort } from '../../../dist/shared/embedded-redis/server-process.js';

const dir = process.argv[2];
if (dir === undefined) throw new Error('Expected a folder');
const redis = await startEmbeddedRedis({
  dir,
  preferredPort: await freePort(),
  path: process.env['PATH'] ?? '',
  say: (line) => console.error(line),
  logger: pino({ level: 'silent' }),
});
const stop = once(process, 'SIGTERM');
const alive = setInterval(() => undefined, 60_000);
console.log(`pid ${redis.pid} alone ${redis.sharedWith.length === 0}`);
await stop;
await redis.stop();
clearInterval(alive);
