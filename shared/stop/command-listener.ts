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
  /** Whether this process lists a task again that another program has deleted: one process for each task is enough, more do no harm. */
  readonly relists: (id: string) => boolean;
  /** Called for every command, before its stops are recorded; `ours` is false for one that a fleet in another database sent. */
  readonly onCommand?: (command: StopCommand, ours: boolean) => void;
  /** Called at every (re)subscription. */
  readonly onSubscribed?: () => Promise<void>;
}

/**
 * Hears stop commands on a connection of its own, and has recorded what nobody recorded: a command of another program holds from then
 * on, whether or not a worker heard it.
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
    subscriber.on('message', (_channel: string, message: string) => this.#hear(message));
    subscriber.on('ready', () => void this.#subscribe(subscriber));
    subscriber.on('close', () => {
      this.#subscribed = false;
    });
    subscriber.connect().catch(() => undefined); // it goes on trying, and says so by its events
    // A subscriber is silent by nature: only a PING tells a quiet connection from a dead one.
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
      logger.warn({ error }, 'Could not subscribe to stop commands; stops are found by polling');
    }
  }

  /** A throw in here would end the process: the message may come from anybody. */
  #hear(message: string): void {
    const { logger } = this.#options;
    try {
      const parsed = parseCommand(message);
      if (parsed.kind === 'bad') logger.error({ problem: parsed.problem }, 'Unsupported message on the stop channel');
      else this.#heed(parsed.command);
    } catch (error) {
      logger.error({ error }, 'A stop command could not be carried out');
    }
  }

  #heed(command: StopCommand): void {
    const {
      store: { facts },
      onCommand,
    } = this.#options;
    const ours = command.fleet === null || facts.id === null || command.fleet === facts.id;
    onCommand?.(command, ours);
    // What the fleet itself sends and has not recorded is for another program.
    if (command.fleet === null && command.recordedAt === null && !command.announced) this.#outside.record(command);
  }
}
