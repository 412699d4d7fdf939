import { defineTask, fleetCanary } from 'taskfleet';
import { createProducer } from 'taskfleet/producer';
import { openTelemetry } from 'taskfleet/telemetry';
import { z } from 'zod';

const hello = defineTask({ name: 'hello', input: z.object({ who: z.string() }), output: z.object({ text: z.string() }) });

async function main({ REDIS_URL: redisUrl, KEY_PREFIX: keyPrefix }) {
  const producer = createProducer({ redisUrl, keyPrefix, logLevel: 'silent', telemetry: openTelemetry() });
  const greeting = await producer.result(await producer.enqueue(hello, { who: 'Ada' }));
  console.log(greeting.text);
  const canary = await producer.enqueue(fleetCanary, { run_ms: 600_000 });
  for await (const event of producer.events(canary.id)) if (event.type === 'state' && event.state === 'running') break;
  const receipt = await producer.stop(canary.id, { waitMs: 60_000 });
  console.log(`${receipt.outcome} by ${receipt.via}`);
  const threaded = await producer.enqueue(fleetCanary, { run_ms: 1, mode: 'spin' });
  console.log(await producer.result(threaded).catch((error) => error.message));
  await producer.close();
}

void main(process.env);
