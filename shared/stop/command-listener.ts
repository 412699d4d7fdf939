import type { Redis } from 'ioredis';
import type { Logger } from '../logger.js';
import { hangUp } from '../redis/connect.js';
import { checkHealth } from '../redis/health-check.js';
import { connectToServer } from '../redis/server-connection.js';
import { Service } from '../service.js';
import type { ConnectedSettings, Store } from '../store.js';
import { type StopCommand, parseCommand } from './command.js';
import { OutsideStops } from './outside-stops.js';

export interface CommandListenerOptions {
  readonly settings: ConnectedSettings;
  readonly store: Store;
  readonly logger: Logger;
  /** Shown by CLIENT LIST. */
  readonly name: string;
  /** Whether this process relists a task that another program deleted. One process per task suffices; more do no harm. */
  readonly relists: (id: string) => boolean;
  /** Called for every command, before its stops are recorded; `ours` is false for a command of a fleet in another database. */
  readonly onCommand?: (command: StopCommand, ours: boolean) => void;
  /** Called at every (re)subscription. */
  readonly onSubscribed?: () => Promise<void>;
}

/**
 * Receives stop commands on a separate connection, and records those of other programs, which then hold even if no worker received
 * them.
 */
export class CommandListener extends Service {
  readonly #options: CommandListenerOptions;
  readonly #outside: OutsideStops;
  #subscriber: Redis | null = null;
  #endHealthCheck: () => void = () => undefined;
  #subscribed = false;

  constructor(options: CommandListenerOptions) {
    super();
    this.#options = options;
    this.#outside = new OutsideStops(options);
  }

  get subscribed(): boolean {
    return this.#subscribed;
  }

  protected override onStart(): Promise<void> {
    const { settings, logger, name } = this.#options;
    const { redis, keys } = this.#options.store;
    const subscriber = connectToServer(redis, keys.commands, { settings, policy: 'wait', logger, name, lazy: true });
    this.#subscriber = subscriber;
    subscriber.on('message', (_channel: string, message: string) => this.#receive(message));
    subscriber.on('ready', () => void this.#subscribe(subscriber));
    subscriber.on('close', () => {
      this.#subscribed = false;
    });
    subscriber.connect().catch(() => undefined); // it reconnects, and its events report errors
    this.#endHealthCheck = checkHealth(subscriber, settings.healthCheckMs);
    return Promise.resolve();
  }

  protected override onStop(): Promise<void> {
    this.#endHealthCheck();
    this.#outside.close();
    if (this.#subscriber) hangUp(this.#subscriber);
    this.#subscribed = false;
    return Promise.resolve();
  }

  async #subscribe(subscriber: Redis): Promise<void> {
    const { store, logger, onSubscribed } = this.#options;
    try {
      await subscriber.subscribe(store.keys.commands);
      this.#subscribed = true;
      logger.debug('Listening for stop commands');
      await onSubscribed?.();
    } catch (error) {
      if (this.stopping) return;
      logger.warn({ error }, 'Could not subscribe to stop commands; polling for stops instead');
    }
  }

  /** Never throws, which would end the process: any program may have sent the message. */
  #receive(message: string): void {
    const { logger } = this.#options;
    try {
      const parsed = parseCommand(message);
      if (parsed.kind === 'bad') logger.error({ problem: parsed.problem }, 'Unsupported message on the stop channel');
      else this.#handle(parsed.command);
    } catch (error) {
      logger.error({ error }, 'Could not handle a stop command');
    }
  }

  #handle(command: StopCommand): void {
    const {
      store: { facts },
      onCommand,
    } = this.#options;
    const ours = command.fleet === null || facts.id === null || command.fleet === facts.id;
    onCommand?.(command, ours);
    // A command of this fleet without a record is meant for another program.
    if (command.fleet === null && command.recordedAt === null && !command.announced) this.#outside.record(command);
  }
}
