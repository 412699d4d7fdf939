import { setTimeout as delay } from 'node:timers/promises';
import type { TestRedis } from '../../../support/redis/test-redis.js';
import { now } from '../../faults/load/clock.js';
import { KEY_PREFIX, type SoakDeployment } from './deployment.js';
import type { Fault, FaultKind, Plan, PlannedFault } from './plan.js';
import type { SoakWorkers } from './workers.js';

/** A caused fault. Times are in ms from the start of the load. */
export interface Struck {
  readonly kind: FaultKind;
  /** A description of the target and the action. */
  readonly about: string;
  readonly atMs: number;
  /** The end; null while the fault lasts. */
  untilMs: number | null;
}

export interface FaultTargets {
  readonly deployment: SoakDeployment;
  readonly workers: SoakWorkers;
}

/** The pause between two disconnects of one fault. */
const CUT_EVERY_MS = 100;

/** Carries out a plan: one lane of worker faults, and in parallel one of Redis faults. */
export class FaultLanes {
  readonly struck: Struck[] = [];
  readonly #targets: FaultTargets;
  readonly #startedAt = now();
  readonly #end: AbortSignal;

  /** @param end aborted when no further fault may begin; current ones end normally */
  constructor(targets: FaultTargets, end: AbortSignal) {
    this.#targets = targets;
    this.#end = end;
  }

  /** Resolves when both lanes are over and all targets are back. */
  async run({ workers, redis }: Plan): Promise<void> {
    await Promise.all([this.#lane(workers), this.#lane(redis)]);
  }

  /** Returns whether no fault is active, nor was within this time. */
  calmFor(ms: number): boolean {
    return this.struck.every(({ untilMs }) => untilMs !== null && this.#elapsed() - untilMs > ms);
  }

  async #lane(planned: readonly PlannedFault[]): Promise<void> {
    for (const fault of planned) {
      await delay(Math.max(0, fault.atMs - this.#elapsed()), undefined, { signal: this.#end }).catch(() => undefined);
      if (this.#end.aborted) return;
      const struck: Struck = { kind: fault.kind, about: wordsOf(fault), atMs: this.#elapsed(), untilMs: null };
      this.struck.push(struck);
      await strike(fault, this.#targets);
      struck.untilMs = this.#elapsed();
    }
  }

  #elapsed(): number {
    return now() - this.#startedAt;
  }
}

async function strike(fault: Fault, { deployment, workers }: FaultTargets): Promise<void> {
  switch (fault.kind) {
    case 'worker-kill':
      return workers.replace(fault.worker, 'SIGKILL', fault.awayMs);
    case 'worker-term':
      return workers.replace(fault.worker, 'SIGTERM', fault.awayMs);
    case 'worker-freeze':
      return workers.freeze(fault.worker, fault.forMs);
    case 'redis-kill':
      return deployment.killMaster(fault.of, fault.awayMs);
    case 'clients-kill':
      return killClients(deployment.nodes, fault.type, fault.times);
    case 'clients-pause':
      await Promise.all(deployment.nodes.map((node) => ask(node, (client) => client.call('CLIENT', 'PAUSE', fault.forMs, fault.mode))));
      await delay(fault.forMs);
      return;
    case 'slots-move':
      return deployment.moveSlots();
  }
}

/** Returns a short description of a fault. */
function wordsOf(fault: Fault): string {
  switch (fault.kind) {
    case 'worker-kill':
      return `worker ${fault.worker + 1} SIGKILL, another after ${fault.awayMs} ms`;
    case 'worker-term':
      return `worker ${fault.worker + 1} SIGTERM, another after ${fault.awayMs} ms`;
    case 'worker-freeze':
      return `worker ${fault.worker + 1} SIGSTOP for ${fault.forMs} ms`;
    case 'redis-kill':
      return `Redis SIGKILL, the one of the ${fault.of}, back after ${fault.awayMs} ms`;
    case 'clients-kill':
      return `CLIENT KILL ${fault.type}, ${fault.times} times`;
    case 'clients-pause':
      return `CLIENT PAUSE ${fault.mode} for ${fault.forMs} ms`;
    case 'slots-move':
      return 'slots moved';
  }
}

async function killClients(nodes: readonly TestRedis[], type: 'normal' | 'pubsub' | 'one', times: number): Promise<void> {
  for (let cut = 0; cut < times; cut += 1) {
    await Promise.all(
      nodes.map((node) =>
        ask(node, (client) => (type === 'one' ? killOne(client, cut) : client.call('CLIENT', 'KILL', 'TYPE', type, 'SKIPME', 'yes'))),
      ),
    );
    await delay(CUT_EVERY_MS);
  }
}

type Client = ReturnType<TestRedis['client']>;

async function killOne(client: Client, number: number): Promise<void> {
  // The fleet names all its connections; BullMQ names connections after their queue.
  const fleet = String(await client.call('CLIENT', 'LIST'))
    .split('\n')
    .filter((line) => line.includes(' name=taskfleet') || line.includes(` name=${KEY_PREFIX}`));
  const victim = /^id=(\d+)/.exec(fleet[number % Math.max(1, fleet.length)] ?? '')?.[1];
  if (victim !== undefined) await client.call('CLIENT', 'KILL', 'ID', victim);
}

/** Uses a temporary connection. Skips a server that is down. */
async function ask(node: TestRedis, command: (client: Client) => Promise<unknown>): Promise<void> {
  const client = node.client({ maxRetriesPerRequest: 1, lazyConnect: true, retryStrategy: () => null });
  try {
    await client.connect();
    await command(client);
  } catch (error) {
    if (node.running && !/Connection is closed|ECONN|EPIPE/.test(String(error))) throw error;
  } finally {
    client.disconnect();
  }
}
