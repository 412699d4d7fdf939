/**
 * Keeps a redis-server busy: sends small writes at a rate that it adjusts until the server's CPU time is the given share of one core, other
 * clients included. Tells its parent when that is reached, and goes on.
 */
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { redisCpuUs } from '../harness/cpu.js';

const redisUrl = new URL(process.argv[2] as string);
const share = Number(process.argv[3]);
const LOOK_MS = 250;
const TOLERANCE = 0.05;
/** Looks in a row within the tolerance. */
const STEADY = 4;
/** Changes of the rate per look are damped: the share that other clients use varies. */
const DAMPING = 0.5;
/** Gives up after this many looks: the machine is too busy for the load. */
const MOST_LOOKS = 80;
/** A late timer does not send all that is due: the commands would not fit into memory. */
const MOST_AT_ONCE = 20_000;

const COMMAND = Buffer.from(['*4', '$4', 'HSET', '$14', 'bench:load:key', '$5', 'field', '$5', 'value', ''].join('\r\n'));
const socket = connect(Number(redisUrl.port), redisUrl.hostname);
socket.on('data', () => undefined);
const client = new Redis(redisUrl.href, { protocol: 2 });

let perSecond = 20_000;
let sent = 0;
const startedAt = performance.now();
setInterval(() => {
  const due = Math.floor((perSecond * (performance.now() - startedAt)) / 1_000) - sent;
  if (due <= 0) return;
  sent += due;
  socket.write(Buffer.concat(Array.from({ length: Math.min(due, MOST_AT_ONCE) }, () => COMMAND)));
}, 1);
process.on('disconnect', () => process.exit(0));

for (let steady = 0, looks = 0, ready = false; ; looks += 1) {
  const [from, at] = [await redisCpuUs(client), performance.now()];
  await sleep(LOOK_MS);
  const busy = ((await redisCpuUs(client)) - from) / 1_000 / (performance.now() - at);
  // Starts the count anew: the rate has changed.
  const factor = 1 + DAMPING * (share / Math.max(busy, 0.05) - 1);
  sent = Math.floor((perSecond * factor * (performance.now() - startedAt)) / 1_000);
  perSecond *= factor;
  steady = Math.abs(busy - share) <= TOLERANCE ? steady + 1 : 0;
  if (steady === STEADY && !ready) {
    ready = true;
    process.send?.('ready');
  }
  if (looks >= MOST_LOOKS && !ready) {
    console.error(`Could not keep Redis busy for ${share * 100} % of its time: expected a quiet machine`);
    process.exit(1);
  }
}
