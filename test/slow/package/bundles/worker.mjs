import { defineHandler, defineTask } from 'taskfleet';
import { createWorker } from 'taskfleet/worker';
import { z } from 'zod';

const hello = defineTask({ name: 'hello', input: z.object({ who: z.string() }), output: z.object({ text: z.string() }) });
const handlers = [defineHandler(hello, ({ input }) => ({ text: `Hello ${input.who}` }))];

async function main({ REDIS_URL: redisUrl, KEY_PREFIX: keyPrefix }) {
  const worker = await createWorker({ redisUrl, keyPrefix, handlers });
  process.once('SIGTERM', () => void worker.stop());
  await worker.start();
  await worker.ready();
  console.log('ready');
}

void main(process.env);
