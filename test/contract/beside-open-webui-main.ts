import { TestFleet } from '../support/fleet/test-fleet.js';
/**
 * `MINUTES=10 TASKS=200 npm run test:beside`: live tasks of the fleet beside an open-webui that lists them ten times per second. Fails
 * if a task was missing from a list of either side.
 */
import { listBeside } from '../support/network/beside-open-webui.js';
import { OpenWebuiPeer } from '../support/network/open-webui-peer.js';

const minutes = Number(process.env['MINUTES'] ?? 1);
const tasks = Number(process.env['TASKS'] ?? 200);
const prefix = 'open-webui';
const fleet = await TestFleet.onOneServer();
try {
  const producer = fleet.producer({ keyPrefix: prefix });
  await fleet.worker(prefix, []);
  const peer = await OpenWebuiPeer.start(() => fleet.redis.client(), prefix);
  for (let index = 0; index < 20; index += 1) await peer.create(`theirs-${index}`, 'chat-long');
  console.log(`${tasks} live tasks for ${minutes} minutes`);
  const running = new Map(peer.running);
  const { rounds, missing, listed } = await listBeside({ fleet, producer, peer, prefix, tasks, forMs: minutes * 60_000, everyMs: 100 });
  const lost = missing > 0 || listed !== tasks + running.size;
  console.log(
    `${rounds} rounds of lists; ${missing} entries missing from them; ${listed} of ${tasks + running.size} tasks in the fleet's own list`,
  );
  process.exitCode = lost ? 1 : 0;
} finally {
  await fleet.stop();
}
