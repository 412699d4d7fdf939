/** A program for `node --import tsx`: starts a test Redis, prints its pid, and waits to be killed. */
import { startTestRedis } from './test-redis.js';
import { TestTls } from './test-tls.js';

const tls = await TestTls.create();
const redis = await startTestRedis({ appendonly: 'yes', tls });
setInterval(() => undefined, 60_000);
console.log(JSON.stringify({ pid: redis.pid, folders: [redis.dir, tls.caFile] }));
