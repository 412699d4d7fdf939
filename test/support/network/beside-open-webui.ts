import { setTimeout as delay } from 'node:timers/promises';
import type { Producer } from '../../../producer/index.js';
import { fleetCanary } from '../../../worker/builtin/definitions.js';
import type { TestFleet } from '../fleet/test-fleet.js';
import { until } from '../until.js';
import type { OpenWebuiPeer } from './open-webui-peer.js';

export interface BesideOptions {
  readonly fleet: TestFleet;
  readonly producer: Producer;
  readonly peer: OpenWebuiPeer;
  readonly prefix: string;
  /** Live tasks of the fleet. */
  readonly tasks: number;
  /** How long the peer lists them, in ms; at least one round. */
  readonly forMs: number;
  readonly everyMs: number;
}

/** The findings of the peer and of the fleet. */
export interface BesideReport {
  readonly rounds: number;
  /** Live tasks missing from the peer's lists, over all rounds. */
  readonly missing: number;
  /** Live tasks missing from the fleet's own list at the end. */
  readonly listed: number;
}

const ITEM = 'chat-long';

/** Keeps tasks of the fleet live while open-webui reads all of its lists repeatedly, then stops the tasks. */
export async function listBeside({ fleet, producer, peer, prefix, tasks, forMs, everyMs }: BesideOptions): Promise<BesideReport> {
  const added = await producer.enqueueMany(
    fleetCanary,
    Array.from({ length: tasks }, () => ({ input: { run_ms: 60_000 }, item: ITEM, delay: forMs + 3_600_000 })),
  );
  const ids = new Set(added.map(({ id }) => id));
  const seen = (listed: readonly string[]): number => listed.filter((id) => ids.has(id)).length;
  let [rounds, missing] = [0, 0];
  const end = performance.now() + forMs;
  do {
    await peer.beat();
    const lists = [await peer.listTasks(), await peer.listItem(ITEM)];
    for (const listed of lists) missing += tasks - seen(listed);
    if (!(await peer.hasActive(ITEM))) missing += 1;
    rounds += 1;
    await delay(everyMs);
  } while (performance.now() < end);
  const listed = (await producer.list({ item: ITEM, limit: 1_000 })).tasks.length;
  const receipts = await producer.stopItem(ITEM, { waitMs: 30_000 });
  const cancelled = receipts.filter(({ id, outcome }) => ids.has(id) && outcome === 'cancelled').length;
  if (cancelled !== tasks) throw new Error(`expected ${tasks} tasks of the fleet to be cancelled, got ${cancelled}`);
  await until(
    () => fleet.registrySize(prefix),
    ({ queues, leases }) => queues === 0 && leases === peer.running.size,
  );
  return { rounds, missing, listed };
}
