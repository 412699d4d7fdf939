import { type BeforeApplicationShutdown, Injectable, type OnApplicationShutdown } from '@nestjs/common';
import { createDashboard } from 'taskfleet/dashboard';
import { createProducer } from 'taskfleet/producer';

/** The producer and the dashboard of this app. */
@Injectable()
export class Fleet implements BeforeApplicationShutdown, OnApplicationShutdown {
  readonly producer = createProducer({ redisUrl: process.env.REDIS_URL ?? 'redis://127.0.0.1:6399' });
  // 'local' serves this machine only: in production, pass tokens or a function that knows your users.
  readonly dashboard = createDashboard({ producer: this.producer, auth: 'local' });
  readonly #closing = new AbortController();

  /** Aborted when the app shuts down. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Event streams would hold the server open, so they end before Nest closes it. */
  async beforeApplicationShutdown(): Promise<void> {
    this.#closing.abort();
    await this.dashboard.close();
  }

  /** Closes the producer after the last request. */
  async onApplicationShutdown(): Promise<void> {
    await this.producer.close();
  }
}
