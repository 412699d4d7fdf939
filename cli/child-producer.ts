import { type Producer, type ProducerConfig, createProducer } from '../producer/index.js';
import type { ChildEnqueuer } from '../shared/task/handler.js';

/** The producer of a worker's handlers, connected when the first of them enqueues: most never do. */
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
