/**
 * The process of the producer: a client with the load of SOAK_CLIENT. It prints its counts every second, ends the load on SIGTERM,
 * and exits when every call is answered.
 */
import { once } from 'node:events';
import { type ProducerConfig, createProducer } from '../../../../producer/index.js';
import { JournalWriter } from '../journal.js';
import { type ClientLoad, SoakClient } from './client.js';

export interface ClientOrder {
  readonly config: ProducerConfig;
  readonly load: ClientLoad;
  readonly journal: string;
}

const COUNT_EVERY_MS = 1_000;

const { config, load, journal: path } = JSON.parse(process.env['SOAK_CLIENT'] ?? '') as ClientOrder;
const journal = new JournalWriter(path);
const producer = createProducer(config);
const client = new SoakClient(producer, journal, load);
const told = setInterval(() => console.log(JSON.stringify(client.counts)), COUNT_EVERY_MS);
const ending = once(process, 'SIGTERM');
client.start();
console.log('begins');
await ending;
await client.end();
clearInterval(told);
await producer.close();
journal.close();
console.log(JSON.stringify(client.counts));
