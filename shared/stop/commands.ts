import { jsonProblem } from '../arguments.js';
import { messageOf } from '../errors.js';
import { type Keys, quote } from '../keys.js';
import { MAX_COMMAND_IDS, MAX_COMMAND_LENGTH, MAX_KNOWN_ID_LENGTH, MAX_REASON_LENGTH } from '../limits.js';
import type { Logger } from '../log/logger.js';
import { type RedisConnection, keepsOrder } from '../redis/connection.js';
import type { FleetFacts } from '../registry/fleet-facts.js';
import { type Carrier, isCarrier } from '../tracing/carrier.js';
import { stopTime } from './receipt.js';

/**
 * A stop command on the channel `p:tasks:commands`. open-webui sends `{"action":"stop","task_id":"…"}` and reads only `task_id`; the
 * other fields are ours. `recorded_at` (ms since the epoch) says that the stop is already in Redis. If it is missing or implausible,
 * the receiver records the stop, unless the command is `announced`: then the sender is about to.
 */
export interface StopCommand {
  readonly ids: readonly string[];
  readonly reason: string | null;
  readonly by: string | null;
  readonly recordedAt: number | null;
  readonly announced: boolean;
  /** Id of the sending fleet; null for another program. The databases of a Redis share their channels. */
  readonly fleet: string | null;
  /** The context of the request's span, in the field `tm`; absent if it was not traced. */
  readonly carrier?: Carrier | undefined;
}

type ParsedCommand = { readonly kind: 'stop'; readonly command: StopCommand } | { readonly kind: 'bad'; readonly problem: string };

/** Length of all ids in a message that we send; the rest is for the repeated first id, the reason and the name. */
const MAX_IDS_LENGTH = MAX_COMMAND_LENGTH / 2;

/** Formats commands. An announced one has no `task_id`: another program would end its task before the stop was looked up. */
export function formatCommands(ids: readonly string[], stop: Omit<StopCommand, 'ids'>): string[] {
  return groupIds(ids).map((some) => {
    const one = stop.announced ? undefined : some[0];
    return format(one, some.length > 1 || stop.announced ? some : undefined, stop);
  });
}

/** JSON has no fields for undefined values. */
function format(
  id: string | undefined,
  ids: readonly string[] | undefined,
  { reason, by, recordedAt, announced, fleet, carrier }: Omit<StopCommand, 'ids'>,
): string {
  return JSON.stringify({
    action: 'stop',
    task_id: id,
    task_ids: ids,
    reason: reason ?? undefined,
    by: by ?? undefined,
    recorded_at: recordedAt ?? undefined,
    announced: announced || undefined,
    fleet: fleet ?? undefined,
    tm: carrier,
  });
}

/** Formats a recorded command up to its ids, which the script that records it adds: see `recordStop`. */
export function formatCommandStart(stop: Omit<StopCommand, 'ids'>): string {
  return format(undefined, undefined, stop).slice(0, -1);
}

/** Groups ids for one message each, by number and length: ids of other programs may be long. */
function groupIds(ids: readonly string[]): (readonly string[])[] {
  if (ids.length === 1) return [ids];
  const groups: string[][] = [];
  let length = Infinity;
  for (const id of ids) {
    const group = groups.at(-1);
    const added = JSON.stringify(id).length + 1;
    if (group && group.length < MAX_COMMAND_IDS && length + added <= MAX_IDS_LENGTH) {
      group.push(id);
      length += added;
    } else {
      groups.push([id]);
      length = added;
    }
  }
  return groups;
}

/** Parses a message, which any program may have sent. Never throws; the problem says what was expected. */
export function parseCommand(message: string): ParsedCommand {
  if (message.length > MAX_COMMAND_LENGTH) return bad(`longer than ${MAX_COMMAND_LENGTH} characters (${message.length})`);
  let body: unknown;
  try {
    body = JSON.parse(message);
  } catch (error) {
    return bad(`not JSON: ${jsonProblem(error)}`);
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return bad('expected a JSON object');
  const {
    action,
    task_id: one,
    task_ids: many,
    reason,
    by,
    recorded_at: recordedAt,
    announced,
    fleet,
    tm,
  } = body as Record<string, unknown>;
  if (action === undefined) return bad('no action');
  if (action !== 'stop') return bad(`unsupported action ${typeof action === 'string' ? quote(action) : typeof action}`);
  const ids = many ?? (one === undefined ? undefined : [one]);
  if (!Array.isArray(ids) || ids.length === 0 || ids.length > MAX_COMMAND_IDS || !ids.every((id) => isText(id, MAX_KNOWN_ID_LENGTH))) {
    return bad('expected task_id, a string, or task_ids, an array of strings');
  }
  return {
    kind: 'stop',
    command: {
      ids,
      reason: textOrNull(reason),
      by: textOrNull(by),
      recordedAt: stopTime(recordedAt),
      announced: announced === true,
      fleet: textOrNull(fleet),
      ...(isCarrier(tm) && { carrier: tm }),
    },
  };
}

function bad(problem: string): ParsedCommand {
  return { kind: 'bad', problem };
}

function isText(value: unknown, maxLength: number): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= maxLength;
}

function textOrNull(value: unknown): string | null {
  return isText(value, MAX_REASON_LENGTH) ? value : null;
}

/** An announcement to more receivers costs more than the time that it saves. */
const MOST_ANNOUNCED = 16;
const RECOUNT_MS = 10_000;

interface CommandPublisherOptions {
  readonly redis: RedisConnection;
  readonly keys: Keys;
  readonly facts: FleetFacts;
  readonly logger: Logger;
}

/** The requester of a stop, and the reason. */
export type Asker = Pick<StopCommand, 'reason' | 'by' | 'carrier'>;

/** Publishes stop commands. */
export class CommandPublisher {
  readonly #redis: RedisConnection;
  readonly #keys: Keys;
  readonly #facts: FleetFacts;
  readonly #logger: Logger;
  /** Of the last command on the common channel. */
  #receivers = 0;
  #countedAt = -Infinity;

  constructor({ redis, keys, facts, logger }: CommandPublisherOptions) {
    this.#redis = redis;
    this.#keys = keys;
    this.#facts = facts;
    this.#logger = logger;
  }

  /** Whether few enough processes listen to the common channel: each announcement costs all of them. Looked at again after a while. */
  get mayAnnounce(): boolean {
    return this.#receivers <= MOST_ANNOUNCED || performance.now() - this.#countedAt > RECOUNT_MS;
  }

  /** Announces that stops are about to be recorded. Nothing depends on it, and other programs ignore it. */
  announce(ids: readonly string[], { reason, by, carrier }: Asker): void {
    void this.#try(ids, { reason, by, carrier, recordedAt: null, announced: true });
  }

  /**
   * Publishes that stops are recorded. That only makes them faster: without the message, the worker finds the record at its next
   * poll. Returns the number of receivers; null if it was not sent.
   */
  recorded(ids: readonly string[], asker: Asker, recordedAt: number): Promise<number | null> {
    return this.#try(ids, { ...asker, recordedAt, announced: false });
  }

  /**
   * Makes the arguments with which `recordStop` tells the workers of running tasks, each on its own channel; none if they must be told on the
   * common one: on a cluster, the number of receivers is unknown, and before the first connection, so is the fleet's id.
   */
  toWorkers(asker: Asker, recordedAt: number): string[] {
    const fleet = this.#facts.id;
    if (fleet === null || !keepsOrder(this.#redis)) return [];
    return ['', this.#keys.workerChannel(''), formatCommandStart({ ...asker, recordedAt, announced: false, fleet })];
  }

  /** Asks other programs to stop their tasks, with one message each, of which open-webui reads `task_id`. Throws: there is no record. */
  async foreign(ids: readonly string[], asker: Asker): Promise<void> {
    const stop = { reason: asker.reason, by: asker.by, recordedAt: null, announced: false };
    await Promise.all(ids.map((id) => this.#publish([id], stop)));
  }

  #try(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number | null> {
    return this.#publish(ids, stop).catch((error: unknown) => {
      this.#logger.warn({ error: messageOf(error) }, 'Could not publish a stop; the worker will find its record by polling');
      return null;
    });
  }

  async #publish(ids: readonly string[], stop: Omit<StopCommand, 'ids' | 'fleet'>): Promise<number> {
    // Known once connected: only a stop that is the very first command waits for it.
    const fleet = this.#facts.id ?? (await this.#facts.readId());
    const messages = formatCommands(ids, { ...stop, fleet });
    const receivers = await Promise.all(messages.map((message) => this.#redis.publish(this.#keys.commands, message)));
    this.#receivers = Math.max(...receivers);
    this.#countedAt = performance.now();
    return receivers.reduce((sum, count) => sum + count, 0);
  }
}
