// A process that enqueues ROUNDS tasks for each of its KEYS at once, when the list `go` has an entry, and prints the answers as JSON.
import { Redis } from 'ioredis';
import { z } from 'zod';
import { createProducer } from '../../../../dist/producer/index.js';
import { defineTask } from '../../../../dist/worker/index.js';

const { REDIS_URL: redisUrl, PREFIX: keyPrefix, KEYS: keys, ROUNDS: rounds, DEDUPE: dedupe } = process.env;
const task = defineTask({ name: 'note.take', input: z.unknown() });
const producer = createProducer({ redisUrl, keyPrefix, logLevel: 'silent' });
const client = new Redis(redisUrl);
await producer.ping();
console.log('ready');
await client.blpop('go', 0);
const rows = Array.from({ length: Number(rounds) }, (_, round) =>
  keys.split(',').map((key) => producer.enqueue(task, { round }, { item: key, dedupe: { ...JSON.parse(dedupe), key } })),
);
const answers = await Promise.all(rows.flat());
console.log(JSON.stringify(answers.map(({ id, item, duplicate }) => [id, item, duplicate])));
client.disconnect();
await producer.close();
