import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { type Capability, type Peer, type PeerInfo, type Servers, type Work, type WorkKind, isOffered } from '../compared/peer.js';
import { now } from '../compared/spin/clock.js';
import { WorkerProcess } from './worker-process.js';

const SETTLE_LIMIT_MS = 30_000;
/** Reads follow each other without a pause at first, for the resolution of short stops. */
const CLOSE_READS_MS = 50;

/** The number of jobs and stops of one turn. */
export interface Sizes {
  readonly alone: number;
  readonly callers: number;
  readonly bulk: number;
  readonly sleeping: number;
  readonly starts: number;
  readonly stops: number;
  readonly spinMs: number;
}

export interface TurnContext {
  readonly info: PeerInfo;
  readonly peer: Peer;
  readonly servers: Servers;
  readonly sizes: Sizes;
  /** A folder for the files of {@link Work}. */
  readonly folder: string;
  /** Returns the CPU time of the peer's server so far, in µs; null where the system does not say. */
  readonly serverCpuUs: () => number | null;
}

/** One turn of one peer: opens its parts and collects the values of its metrics. */
export class Turn {
  readonly values = new Map<string, number[]>();
  #keys = 0;

  constructor(readonly context: TurnContext) {}

  add(metric: string, value: number | null): void {
    if (value !== null) this.values.set(metric, [...(this.values.get(metric) ?? []), value]);
  }

  offers(capability: Capability): boolean {
    return isOffered(this.context.info.capabilities[capability]);
  }

  /** Returns this peer's share of a number of calls or jobs, at least 20. */
  share(of: keyof PeerInfo['shares'], number: number): number {
    return Math.max(20, Math.round(number * this.context.info.shares[of]));
  }

  /** Returns a payload; with a key, if the worker is to report the job by name. */
  payload(kind: WorkKind, { ms = 0, named = false }: { ms?: number; named?: boolean } = {}): Work {
    this.#keys += 1;
    return { kind, key: named ? `job-${this.#keys}` : '', ms, file: kind === 'spin' ? `${this.context.folder}/${randomUUID()}` : '' };
  }

  /** Runs an act with a worker process, which is closed at its end. */
  async withWorker(slots: number, act: (worker: WorkerProcess) => Promise<void>): Promise<void> {
    const worker = await WorkerProcess.load({ peer: this.context.info.name, servers: this.context.servers, slots });
    try {
      await act(worker);
    } finally {
      await worker.close();
    }
  }

  /** Reads until an end is visible; returns its time. */
  async until(isReached: () => Promise<boolean>): Promise<number> {
    const start = now();
    while (!(await isReached())) {
      const waited = now() - start;
      if (waited > SETTLE_LIMIT_MS) throw new Error(`${this.context.info.name}: not settled after ${SETTLE_LIMIT_MS / 1_000} s`);
      if (waited > CLOSE_READS_MS) await delay(5);
    }
    return now();
  }
}
