import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import type { Logger } from '../logger.js';
import type { RedisConnection } from '../redis/connection.js';
import type { FleetFacts } from '../registry/fleet-facts.js';
import { type StopCommand, formatCommands } from './command.js';

export interface CommandPublisherOptions {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly facts: FleetFacts;
  readonly logger: Logger;
}

/** The requester of a stop, and the reason. */
export type Asker = Pick<StopCommand, 'reason' | 'by'>;

/** Publishes stop commands. */
export class CommandPublisher {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #facts: FleetFacts;
  readonly #logger: Logger;

  constructor({ redis, keys, facts, logger }: CommandPublisherOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#facts = facts;
    this.#logger = logger;
  }

  /** Announces that stops are about to be recorded. Nothing depends on it, and other programs ignore it. */
  async announce(ids: readonly string[], asker: Asker): Promise<void> {
    await this.#try(ids, { ...asker, recordedAt: null, announced: true });
  }

  /**
   * Publishes that stops are recorded. That only makes them faster: without the message, the worker finds the record at its next
   * poll. Returns the number of receivers; null if it was not sent.
   */
  recorded(ids: readonly string[], asker: Asker, recordedAt: number): Promise<number | null> {
    return this.#try(ids, { ...asker, recordedAt, announced: false });
  }

  /** Asks other programs to stop their tasks, with one message each, of which open-webui reads `task_id`. Throws: there is no record. */
  async foreign(ids: readonly string[], asker: Asker): Promise<void> {
    const stop = { ...asker, recordedAt: null, announced: false };
    await Promise.all(ids.map((id) => this.#publish([id], stop)));
  }

  async #try(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number | null> {
    try {
      return await this.#publish(ids, stop);
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'Could not publish a stop; the worker will find its record by polling');
      return null;
    }
  }

  async #publish(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number> {
    // Known once connected: only a stop that is the very first command waits for it.
    const fleet = this.#facts.id ?? (await this.#facts.readId());
    const receivers = await Promise.all(
      formatCommands(ids, { ...stop, fleet }).map((message) => this.#redis.publish(this.#keys.commands, message)),
    );
    return receivers.reduce((sum, count) => sum + count, 0);
  }
}
