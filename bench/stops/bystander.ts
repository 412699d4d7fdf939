/** A worker that no stop concerns, and bare subscribers to its channel of stops. Answers each message of its parent with its CPU time so far. */
import { connect } from 'node:net';
import { createWorker } from 'taskfleet/worker';

const redisUrl = process.argv[2] as string;
const bare = Number(process.argv[3]);

const { port, hostname } = new URL(redisUrl);
const channel = 'taskfleet:tasks:commands';
// Never read: what counts here is Redis.
const sockets = Array.from({ length: bare }, () => connect(Number(port), hostname).pause());
for (const socket of sockets) socket.write(`*2\r\n$9\r\nSUBSCRIBE\r\n$${channel.length}\r\n${channel}\r\n`);
const worker = await createWorker({ redisUrl, concurrency: 1, logLevel: 'error', pid: process.pid });
await worker.start();
await worker.ready();
process.send?.('ready');

process.on('message', () => {
  const { user, system } = process.cpuUsage();
  process.send?.(user + system);
});
process.on('disconnect', () => {
  for (const socket of sockets) socket.destroy();
  void worker.stop();
});
