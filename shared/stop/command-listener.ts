import { setTimeout as sleep } from 'node:timers/promises';
import type { Redis } from 'ioredis';
import { messageOf } from '../errors.js';
import { type Logger, RepeatedLines } from '../log/logger.js';
import { Service } from '../process/service.js';
import { hangUp } from '../redis/connect.js';
import { checkHealth } from '../redis/connection-watch.js';
import { connectToServer } from '../redis/server-connection.js';
import type { ConnectedSettings, Store } from '../store.js';
import { type StopCommand, parseCommand } from './commands.js';

interface CommandListenerOptions {
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
  /**
   * The channel of this worker on the same connection. Its messages only save time: without it, stops come by the common one.
   * `onMessage` returns whether the message is no stop command.
   */
  readonly own?: { readonly channel: string; readonly onMessage: (message: string) => boolean };
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
    subscriber.on('message', (channel: string, message: string) => {
      const isOther = channel !== keys.commands && this.#options.own?.onMessage(message);
      if (!isOther) this.#receive(message);
    });
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
    const { store, logger, own, onSubscribed } = this.#options;
    try {
      await subscriber.subscribe(store.keys.commands);
      if (own) await subscriber.subscribe(own.channel).catch((error: unknown) => logger.debug({ error }, 'Could not subscribe'));
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

interface OutsideStopsOptions {
  readonly store: Store;
  readonly logger: Logger;
  readonly relists: (id: string) => boolean;
}

/**
 * When to check that stopped tasks are still listed, in ms after their stop was recorded: open-webui deletes a task's entries right after
 * its command.
 */
const LOOKS_AFTER_MS = [0, 100, 1_000];

/** Records stops that open-webui or a user requested by a command alone. */
class OutsideStops {
  readonly #store: Store;
  readonly #logger: Logger;
  readonly #relists: (id: string) => boolean;
  readonly #lines: RepeatedLines;
  readonly #closing = new AbortController();

  constructor({ store, logger, relists }: OutsideStopsOptions) {
    this.#store = store;
    this.#logger = logger;
    this.#relists = relists;
    this.#lines = new RepeatedLines(logger);
  }

  /** Records the stops. Every receiver of the command does, and the first record stays. */
  record(command: StopCommand): void {
    this.#record(command).catch((error: unknown) => {
      if (!this.#closing.signal.aborted) this.#logger.error({ error }, 'Could not record a stop command');
    });
  }

  /** Ends all relisting. */
  close(): void {
    this.#closing.abort();
  }

  async #record({ ids, reason, by, carrier }: StopCommand): Promise<void> {
    const { stopper, facts } = this.#store;
    const answers = await stopper.request(ids, { reason, by, carrier, fromCommand: true });
    const ending = [...answers].flatMap(([id, { kind }]) => (kind === 'recorded' && this.#relists(id) ? [id] : []));
    if (ending.length > 0) void this.#keepListed(ending);
    const unknown = [...answers].flatMap(([id, { kind }]) => (kind === 'not_found' ? [id] : []));
    if (unknown.length === 0) return;
    // Another process may have seen open-webui since the last read.
    if (!facts.removed) await facts.refresh();
    // open-webui deletes its own tasks right after their command, so beside it an unknown id is normal.
    const level = facts.removed ? 'debug' : 'warn';
    for (const id of unknown) this.#lines.write(level, id, { id }, 'Ignored a stop command for a task that does not exist');
  }

  /** Keeps ending tasks listed. Never rejects: the reconciler relists any that are missed here. */
  async #keepListed(ids: readonly string[]): Promise<void> {
    const { reader, registry } = this.#store;
    let [open, passed] = [ids, 0];
    try {
      for (const afterMs of LOOKS_AFTER_MS) {
        await sleep(afterMs - passed, undefined, { ref: false, signal: this.#closing.signal });
        passed = afterMs;
        open = await registry.relist(await reader.itemsOf(open));
        if (open.length === 0) return;
      }
    } catch (error) {
      if (!this.#closing.signal.aborted)
        this.#logger.debug({ error: messageOf(error) }, 'Could not relist a stopped task; the reconciler will');
    }
  }
}
