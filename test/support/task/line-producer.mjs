// A process that enqueues messages of one chat, all at once when it gets SIGUSR2. Its arguments are their ids.
import { createProducer } from '../../../dist/producer/index.js';
import { message } from './line-tasks.mjs';

const { REDIS_URL: redisUrl, REDIS_CLUSTER: cluster, REDIS_KEY_PREFIX: keyPrefix } = process.env;
const producer = createProducer({ redisUrl, cluster: cluster === 'true', keyPrefix, logLevel: 'error' });
await producer.ping();
const keepAlive = setInterval(() => undefined, 60_000);
async function enqueueAll() {
  await Promise.all(process.argv.slice(2).map((id) => producer.enqueue(message, {}, { id, item: 'chat-1' })));
  await producer.close();
  clearInterval(keepAlive);
}
process.once('SIGUSR2', () => void enqueueAll());
console.log('Producer is ready');
