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

/** Who asked for a stop, and why. */
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

  /** Says that the stop of these tasks is about to be recorded. Nothing depends on it, and no other program heeds it. */
  async announce(ids: readonly string[], asker: Asker): Promise<void> {
    await this.#try(ids, { ...asker, recordedAt: null, announced: true });
  }

  /**
   * Says that the stop of these tasks is recorded, which makes it fast, no more: without the message, the worker finds the record
   * at its next poll. Returns how many heard it; null if it was not sent.
   */
  recorded(ids: readonly string[], asker: Asker, recordedAt: number): Promise<number | null> {
    return this.#try(ids, { ...asker, recordedAt, announced: false });
  }

  /** Asks other programs to stop tasks of theirs: one message for each, of which open-webui reads `task_id`. Nothing else carries it. */
  async foreign(ids: readonly string[], asker: Asker): Promise<void> {
    const stop = { ...asker, recordedAt: null, announced: false };
    await Promise.all(ids.map((id) => this.#publish([id], stop)));
  }

  async #try(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number | null> {
    try {
      return await this.#publish(ids, stop);
    } catch (error) {
      this.#logger.warn({ error: messageOf(error) }, 'The message of a stop was not sent; its record holds');
      return null;
    }
  }

  async #publish(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number> {
    // Known from the connect on: only a stop that is the first word to Redis waits for it.
    const fleet = this.#facts.id ?? (await this.#facts.readId());
    const heard = await Promise.all(
      formatCommands(ids, { ...stop, fleet }).map((message) => this.#redis.publish(this.#keys.commands, message)),
    );
    return heard.reduce((sum, some) => sum + some, 0);
  }
}
