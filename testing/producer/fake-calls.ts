import type { CallGate } from '../../producer/calls.js';
import { FleetError } from '../../shared/errors.js';

/** Admits the calls of a fake producer, unless it is closed, or a test plays an outage. */
export class FakeCalls implements Pick<CallGate, keyof CallGate> {
  #closed = false;
  isAvailable = true;

  async once<Value>(work: () => Promise<Value>): Promise<Value> {
    await this.ready();
    return work();
  }

  repeatable<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.once(work);
  }

  enqueuing<Value>(_queue: string, work: () => Promise<Value>): Promise<Value> {
    return this.once(work);
  }

  enqueuingSome<Value>(_queue: string, _count: number, work: () => Promise<Value>): Promise<Value> {
    return work();
  }

  explain(error: unknown): unknown {
    return error;
  }

  async ready(): Promise<void> {
    if (this.#closed) throw new FleetError('CLOSED', 'This producer is closed.');
    if (!this.isAvailable) throw new FleetError('REDIS_UNAVAILABLE', 'Redis is not available: the test has set `available` to false.');
  }

  close(): void {
    this.#closed = true;
  }

  async idle(): Promise<void> {}
}
