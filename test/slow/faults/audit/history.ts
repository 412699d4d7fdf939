import type { StopReceipt } from '../../../../shared/stop/receipt.js';
import type { TerminalState } from '../../../../shared/task/state.js';
import { now } from '../load/clock.js';
import type { LoadKind } from '../load/load-task.js';

/** A call of a client, with times of `now`. */
interface Call {
  readonly askedAt: number;
  readonly answeredAt: number;
}

export interface Enqueued extends Call {
  readonly id: string;
  readonly kind: LoadKind;
  readonly item: string | null;
}

export interface Stopped extends Call {
  readonly receipt: StopReceipt;
}

export interface Rejected extends Call {
  readonly code: string;
  readonly message: string;
}

/** The answers that the clients of a load received. */
export class History {
  readonly enqueued = new Map<string, Enqueued>();
  readonly refusedEnqueues: Rejected[] = [];
  readonly stops: Stopped[] = [];
  readonly refusedStops: Rejected[] = [];
  /** Tasks with a requested stop, acknowledged or not. */
  readonly asked = new Set<string>();
  readonly askedItems = new Set<string>();
  /** Tasks that went on after an acknowledged stop and had to be stopped once more. */
  readonly undoneStops = new Set<string>();
  /** The ends of tasks as received by waiting clients. */
  readonly ends: { readonly id: string; readonly state: TerminalState }[] = [];

  acknowledged(task: Omit<Enqueued, 'answeredAt'>): void {
    this.enqueued.set(task.id, { ...task, answeredAt: now() });
  }

  stopped(askedAt: number, receipts: readonly StopReceipt[]): void {
    for (const receipt of receipts) this.stops.push({ receipt, askedAt, answeredAt: now() });
  }

  refused(what: 'enqueue' | 'stop', askedAt: number, error: unknown): void {
    const { code = 'none', message } = error as Error & { code?: string };
    const list = what === 'enqueue' ? this.refusedEnqueues : this.refusedStops;
    list.push({ askedAt, answeredAt: now(), code, message });
  }

  ended(id: string, state: TerminalState): void {
    this.ends.push({ id, state });
  }

  /** Returns the receipts of a task in order of arrival. */
  receiptsOf(id: string): Stopped[] {
    return this.stops.filter(({ receipt }) => receipt.id === id);
  }

  /** Returns when the first enqueue requested after this time was acknowledged; null if none was. */
  enqueueWorkedAt(since: number): number | null {
    return first([...this.enqueued.values()].filter(({ askedAt }) => askedAt >= since).map(({ answeredAt }) => answeredAt));
  }

  /** Returns when the first stop requested after this time was settled; null if none was. */
  stopWorkedAt(since: number): number | null {
    return first(
      this.stops.filter(({ askedAt, receipt }) => askedAt >= since && receipt.outcome === 'cancelled').map(({ answeredAt }) => answeredAt),
    );
  }

  /** Returns the longest time between two acknowledged enqueues that ended after this time. */
  longestSilence(since: number): number {
    const times = [since, ...[...this.enqueued.values()].map(({ answeredAt }) => answeredAt).filter((at) => at >= since)].toSorted(
      (a, b) => a - b,
    );
    return Math.max(0, ...times.slice(1).map((at, index) => at - (times[index] as number)));
  }
}

function first(times: readonly number[]): number | null {
  return times.length === 0 ? null : Math.min(...times);
}
