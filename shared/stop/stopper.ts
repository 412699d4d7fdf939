import { UnrecoverableError } from 'bullmq';
import { uuidv7 } from 'uuidv7';
import { chunks } from '../chunks.js';
import { messageOf } from '../errors.js';
import type { Keys } from '../keys.js';
import type { Logger } from '../logger.js';
import { MergedWrites } from '../registry/merged-writes.js';
import type { RecordedStop, ScriptedRedis } from '../scripts/define-scripts.js';
import type { Queues } from '../task/queues.js';
import { writeState } from '../task/event-stream.js';
import type { TaskReader } from '../task/task-reader.js';
import type { TaskJobOptions } from '../task/view.js';
import { describeStop } from './cause.js';
import { formatCommands } from './command.js';
import { formatStop, parseStop } from './record.js';

/** What became of a stop in the first moment. `settled`: it was waiting and is cancelled; `recorded`: its owner will settle it. */
export type StopResult = 'settled' | 'recorded' | 'foreign' | 'finished' | 'not_found';

export interface StopRequest {
  readonly reason: string | null;
  readonly by: string | null;
  /** True when a worker heard of the stop by a command that nobody had recorded. Default false. */
  readonly fromCommand?: boolean;
}

interface Found {
  readonly id: string;
  readonly queue: string;
  readonly recorded: RecordedStop;
}

/** Tasks of one script: it holds up Redis. */
const RECORD_AT_ONCE = 1_000;
/** Jobs of one stop that are searched for in a wait list; the search costs the list's length for each. */
const MAX_SEARCHES = 200;
const STOP_KEYS = ['completed', 'failed', 'delayed', 'prioritized', 'wait', 'active', 'waiting-children'];

/**
 * Steps 1 to 3 of the stop protocol, for producers and for workers that hear a command nobody recorded: look up, write
 * the intent, publish. What nobody runs is settled on the spot. A constant number of round trips for any number of ids.
 */
export class Stopper {
  readonly #redis: ScriptedRedis;
  readonly #queues: Queues;
  readonly #reader: TaskReader;
  readonly #keys: Keys;
  readonly #lockMs: number;
  readonly #logger: Logger;

  constructor(options: { redis: ScriptedRedis; queues: Queues; reader: TaskReader; keys: Keys; lockMs: number; logger: Logger }) {
    this.#redis = options.redis;
    this.#queues = options.queues;
    this.#reader = options.reader;
    this.#keys = options.keys;
    this.#lockMs = options.lockMs;
    this.#logger = options.logger;
  }

  /**
   * Stops the tasks. The map has every id that was given, once. The command for a foreign task is published as it is,
   * unless the request came from such a command: then it would go round for ever.
   */
  async request(ids: readonly string[], { reason, by, fromCommand = false }: StopRequest): Promise<Map<string, StopResult>> {
    const results = new Map<string, StopResult>(ids.map((id) => [id, 'not_found']));
    const { byQueue, foreign } = await this.#reader.locate([...results.keys()]);
    for (const id of foreign.keys()) results.set(id, 'foreign');

    const at = Date.now();
    const stop = { reason, by, at };
    const token = `stop:${uuidv7()}`;
    const groups = [...byQueue].flatMap(([queue, all]) => chunks(all, RECORD_AT_ONCE).map((some, index) => ({ queue, some, searches: index === 0 ? MAX_SEARCHES : 0 })));
    const live = groups.flatMap(({ some }) => some);
    const passOn = fromCommand ? [] : [...foreign.keys()];
    // All at once, the intents first: the connection keeps the order, so whoever hears the message finds its intent.
    const recording = groups.map((group) => this.#record(group, { stop: formatStop(stop), text: describeStop(reason, by), token }));
    const passing = formatCommands(passOn, { reason, by, recordedAt: null }).map((message) => this.#redis.publish(this.#keys.commands, message));
    const announcing = formatCommands(live, { reason, by, recordedAt: at }).map((message) => this.#publish(message));
    const [recorded] = await Promise.all([Promise.all(recording), ...passing, ...announcing]);

    const found = groups.flatMap(({ queue, some }, index): Found[] =>
      (recorded[index] ?? []).map((entry, place) => ({ id: some[place] as string, queue, recorded: entry })),
    );
    for (const one of found) results.set(one.id, resultOf(one.recorded));
    const taken = found.filter((one) => one.recorded[0] === 'taken');
    const [settled] = await Promise.all([this.#settle(taken, token), this.#announce(found)]);
    for (const id of settled) results.set(id, 'settled');
    return results;
  }

  /**
   * Settles a task whose stop was recorded while its owner was putting it back for another attempt. Does nothing to a
   * task without a stop.
   */
  async settleIfStopped(queue: string, id: string): Promise<boolean> {
    const token = `stop:${uuidv7()}`;
    const [recorded] = await this.#record({ queue, some: [id], searches: MAX_SEARCHES }, { stop: '', text: describeStop(null, null), token });
    if (recorded?.[0] !== 'taken') return false;
    return (await this.#settle([{ id, queue, recorded }], token)).length > 0;
  }

  #record(
    { queue, some, searches }: { queue: string; some: string[]; searches: number },
    { stop, text, token }: { stop: string; text: string; token: string },
  ): Promise<RecordedStop[]> {
    const keys = this.#queues.scriptKeys(queue, ...STOP_KEYS);
    return this.#redis.recordStop(...keys, this.#keys.jobs(queue), stop, text, token, this.#lockMs, searches, ...some);
  }

  /** The message of a recorded stop makes it fast, no more: without it, the worker finds the record at its next poll. */
  async #publish(message: string): Promise<void> {
    try {
      await this.#redis.publish(this.#keys.commands, message);
    } catch (error) {
      this.#logger.warn({ error }, 'A stop is recorded, but its message was not sent');
    }
  }

  /** Tells those who follow a task's events, if it has any yet. */
  async #announce(found: readonly Found[]): Promise<void> {
    const running = found.filter(({ recorded }) => recorded[0] === 'active' || recorded[0] === 'left');
    if (running.length === 0) return;
    const pipeline = this.#redis.pipeline();
    for (const { id } of running) writeState(pipeline, this.#keys.events(id), 'stopping');
    await pipeline.exec();
  }

  /** Fails the jobs that we hold, through BullMQ's own script, so that its events, flows and retention hold. Returns whose end is certain. */
  async #settle(taken: readonly Found[], token: string): Promise<string[]> {
    if (taken.length === 0) return [];
    const writes = new MergedWrites(this.#keys);
    const pipeline = this.#redis.pipeline();
    const outcomes = await Promise.allSettled(
      taken.map(async (found) => {
        const item = await this.#fail(found, token);
        writes.remove(found.id, item);
        writeState(pipeline, this.#keys.events(found.id), 'cancelled');
      }),
    );
    writes.flushInto(pipeline);
    await pipeline.exec();
    outcomes.forEach((outcome, index) => {
      if (outcome.status === 'fulfilled') return;
      // The intent stands: the stalled check puts the job back, and its deferred failure ends it.
      this.#logger.warn({ id: taken[index]?.id, error: messageOf(outcome.reason) }, 'Stop recorded, but not settled at once');
    });
    return taken.filter((_, index) => outcomes[index]?.status === 'fulfilled').map(({ id }) => id);
  }

  /** Returns the item of the task. */
  async #fail({ id, queue, recorded }: Found, token: string): Promise<string> {
    const job = await this.#queues.get(queue).getJob(id);
    if (!job) throw new Error('the job was removed');
    const stop = parseStop(recorded[1], null);
    const failure = new UnrecoverableError(describeStop(stop?.reason ?? null, stop?.by ?? null));
    const fields = { failedReason: failure.message, stacktrace: '[]', stop_via: 'queue' };
    await this.#queues.backend(queue).moveToFailed(job, failure.message, job.opts.removeOnFail ?? false, token, false, fields);
    return (job.opts as TaskJobOptions).item ?? '';
  }
}

function resultOf([what, stop]: RecordedStop): StopResult {
  switch (what) {
    case 'taken': // until it is settled
    case 'active':
    case 'left':
      return 'recorded';
    case 'completed':
    case 'failed':
      return 'finished';
    case 'missing':
    case 'ignored':
      return 'not_found';
    default:
      throw new Error(`recordStop answered ${String(what satisfies never)} ${String(stop)}`);
  }
}
