import { type Producer, type ProducerConfig, createProducer } from '../../producer/index.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';

/** The producer that a worker's handlers share. Connects on the first enqueue, because most handlers never enqueue. */
export class ChildProducer implements ChildEnqueuer {
  readonly #config: ProducerConfig;
  #producer: Producer | null = null;

  constructor(config: ProducerConfig) {
    this.#config = config;
  }

  enqueueChild(...args: Parameters<ChildEnqueuer['enqueueChild']>): ReturnType<ChildEnqueuer['enqueueChild']> {
    this.#producer ??= createProducer(this.#config);
    return this.#producer.enqueueChild(...args);
  }

  async close(): Promise<void> {
    await this.#producer?.close();
  }
}
