import { setTimeout as sleep } from 'node:timers/promises';
import { chunks } from '../chunks.js';
import type { FleetClock } from '../clock/fleet-clock.js';
import { messageOf } from '../errors.js';
import type { FleetFacts } from '../registry/fleet-facts.js';
import { deadWorkers } from '../registry/dead-workers.js';
import { keepsOrder } from '../redis/connection.js';
import type { Entry } from '../registry/registry.js';
import type { StepHook } from '../step-hook.js';
import { writeState } from '../task/event-stream.js';
import type { Located, TaskReader } from '../task/task-reader.js';
import type { JobAddress } from '../task/options-record.js';
import type { StopAnswer } from './answer.js';
import { describeStop } from './cause.js';
import { Children } from './children.js';
import { CommandPublisher } from './command-publisher.js';
import { ForeignStops } from './foreign-stops.js';
import { formatStop } from './record.js';
import { type FoundTask, type RecorderOptions, StopRecorder, groupsOf, newToken } from './recorder.js';

export interface StopRequest {
  readonly reason: string | null;
  readonly by: string | null;
  /** True when a worker heard of the stop by a command that nobody had recorded. Default false. */
  readonly fromCommand?: boolean;
}

export interface StopperOptions extends RecorderOptions {
  readonly reader: TaskReader;
  readonly clock: FleetClock;
  readonly facts: FleetFacts;
  readonly onStep?: StepHook | undefined;
}

interface PlainStop {
  readonly reason: string | null;
  readonly by: string | null;
  /** In ms since the epoch. */
  readonly at: number;
}

/** A task to stop. */
interface Target {
  readonly id: string;
  /** Of a child in a flow, which need not be on a queue that the fleet knows. */
  readonly queue?: string;
}

interface RoundResult {
  readonly id: string;
  readonly answer: StopAnswer;
  /** Whether its handler has enqueued others, or it has children in a flow. */
  readonly children: boolean;
  /** Those in a flow. */
  readonly inFlow: readonly JobAddress[];
}

/** Tasks of one round: what a script takes must be settled before its lock runs out. */
const ROUND = 10_000;
/** A stop of so few tasks is announced before it is recorded. */
const ANNOUNCED = 16;
/** After a message that nobody heard, the tasks are looked at again. */
const UNHEARD_RECHECK_MS = 250;

/**
 * Steps 1 to 3 and 7 of the stop protocol, for producers, for workers that hear a command nobody recorded, and for the
 * reconciler: look up, write the intent, publish; settle what nobody runs. The number of round trips does not depend on
 * the number of tasks, up to 10,000. docs/stop-protocol.md has the whole.
 */
export class Stopper {
  readonly #options: StopperOptions;
  readonly #recorder: StopRecorder;
  readonly #children: Children;
  readonly #publisher: CommandPublisher;
  readonly #foreign: ForeignStops;
  readonly #open = new Set<Promise<unknown>>();

  constructor(options: StopperOptions) {
    this.#options = options;
    this.#recorder = new StopRecorder(options);
    this.#children = new Children(options);
    this.#publisher = new CommandPublisher(options);
    this.#foreign = new ForeignStops(options.registry, this.#publisher, options.clock);
  }

  /** Resolves when nothing is being stopped. Whoever closed the connection before would leave tasks under a lock that nobody holds. */
  async idle(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  /**
   * Stops tasks, what their handlers have enqueued, and their children in BullMQ flows. The map has every id that was given, then those of children.
   * The program of a foreign task is told by a command, unless the request came from such a command: then it would go round for ever.
   */
  async request(ids: readonly string[], request: StopRequest): Promise<Map<string, StopAnswer>> {
    const answers = await this.#keep(this.#stop(ids, request, ({ kind }) => kind === 'recorded' || kind === 'cancelled', null));
    // Of a command, every worker that hears it asks.
    if (!request.fromCommand) for (const { kind } of answers.values()) this.#countInVain(kind);
    return answers;
  }

  /**
   * Stops the live tasks of an item. A task that ended meanwhile may have enqueued a child after the item was read: it
   * counts with its children.
   */
  async requestItem(item: string, request: StopRequest): Promise<Map<string, StopAnswer>> {
    const { registry } = this.#options;
    const entries = await registry.findItem(item);
    const answers = await this.#keep(this.#stop([...entries.keys()], request, () => true, entries));
    // Entries that a crash left behind would keep the item busy for ever.
    const gone = [...answers].flatMap(([id, { kind }]) => (kind === 'not_found' ? [id] : []));
    if (gone.length > 0) await registry.leaveItem(item, gone);
    for (const id of gone) answers.delete(id);
    return answers;
  }

  /** When each of these tasks of other programs was seen to be gone, of those that are by `deadline` (of performance.now). */
  untilGone(ids: readonly string[], deadline: number): Promise<Map<string, Date>> {
    return this.#foreign.untilGone(ids, deadline);
  }

  /**
   * Takes another look at tasks whose stop is recorded: what went back to its queue, or whose owner has died, is settled
   * here. Does nothing to a task without a stop.
   */
  async recheck(ids: readonly string[]): Promise<Map<string, StopAnswer>> {
    const { reader } = this.#options;
    const [{ byQueue }, dead] = await Promise.all([reader.locate(ids), deadWorkers(this.#options)]);
    return this.settleStopped(byQueue, dead);
  }

  /** The same for one task, whose owner has just put it back for another attempt. */
  async settleIfStopped(queue: string, id: string): Promise<boolean> {
    const answers = await this.settleStopped(new Map([[queue, [id]]]), []);
    return answers.get(id)?.kind === 'cancelled';
  }

  /** The same for tasks of known queues. `dead` are the ids of dead workers. */
  settleStopped(byQueue: ReadonlyMap<string, string[]>, dead: readonly string[]): Promise<Map<string, StopAnswer>> {
    return this.#keep(this.#settleStopped(byQueue, dead));
  }

  async #settleStopped(byQueue: ReadonlyMap<string, string[]>, dead: readonly string[]): Promise<Map<string, StopAnswer>> {
    const recording = { stop: '', text: describeStop(null, null), token: newToken(), dead };
    const found = await Promise.all(groupsOf(byQueue).map(({ queue, some }) => this.#recorder.record(queue, some, recording)));
    return this.#recorder.settle(found.flat(), recording.token);
  }

  #countInVain(kind: StopAnswer['kind']): void {
    const { taskCounters } = this.#options;
    if (kind === 'ended') taskCounters.stopMissed('finished');
    else if (kind === 'not_found') taskCounters.stopMissed('not_found');
  }

  /** Until it is over, the connection is not to be closed. */
  #keep<Value>(work: Promise<Value>): Promise<Value> {
    this.#open.add(work);
    const end = (): void => void this.#open.delete(work);
    work.then(end, end);
    return work;
  }

  /** `follows`: whether the children of a task with that answer are stopped too. `entries`: those of the ids, if they are known. */
  async #stop(
    ids: readonly string[],
    request: StopRequest,
    follows: (answer: StopAnswer) => boolean,
    entries: ReadonlyMap<string, Entry | null> | null,
  ): Promise<Map<string, StopAnswer>> {
    const { reason, by, fromCommand = false } = request;
    const stop = { reason, by, at: this.#options.clock.now() };
    const asked = [...new Set(ids)];
    if (!fromCommand && asked.length <= ANNOUNCED) void this.#publisher.announce(asked, request);
    const answers = new Map<string, StopAnswer>();
    const given = new Set(asked);
    const { reader } = this.#options;
    const locate = async (some: readonly Target[]): Promise<Located> => {
      const sought = some.flatMap(({ id, queue }) => (queue === undefined ? [id] : []));
      const known = entries && answers.size < entries.size;
      const located = await (known
        ? reader.locateEntries(new Map(sought.map((id) => [id, entries.get(id) ?? null])))
        : reader.locate(sought));
      for (const { id, queue } of some) {
        if (queue === undefined) continue;
        const others = located.byQueue.get(queue);
        if (others) others.push(id);
        else located.byQueue.set(queue, [id]);
      }
      return located;
    };
    const met = new Set<string>();
    // Each round stops the children of the one before. A child that is enqueued later than this finds its parent's stop.
    for (let open: readonly Target[] = asked.map((id) => ({ id })); open.length > 0;) {
      const parents: string[] = [];
      const inFlows: JobAddress[] = [];
      for (const some of chunks(open, ROUND)) {
        const results = await this.#stopRound(some, locate(some), stop, fromCommand);
        const known = new Set(some.flatMap(({ id, queue }) => (queue === undefined ? [] : [id])));
        for (const { id, answer, children, inFlow } of results) {
          // What of a flow has ended is nothing that was stopped.
          if (!answers.has(id) && (answer.kind !== 'ended' || !known.has(id))) answers.set(id, answer);
          // A child that has ended meanwhile belongs to what is stopped, and so does what it had enqueued.
          if (!children || (given.has(id) && !follows(answer))) continue;
          parents.push(id);
          inFlows.push(...inFlow);
        }
      }
      const enqueued = (await this.#children.enqueuedBy(parents)).filter((id) => !answers.has(id)).map((id) => ({ id }));
      // Ids are unique within a queue; and lists that somebody wrote by hand may go round.
      const flows = inFlows.filter(({ queue, id }) => met.size < met.add(`${queue} ${id}`).size);
      open = [...enqueued, ...flows];
    }
    return answers;
  }

  async #stopRound(targets: readonly Target[], located: Promise<Located>, stop: PlainStop, fromCommand: boolean): Promise<RoundResult[]> {
    const { byQueue, foreign } = await located;
    const [ours, theirs] = await Promise.all([this.#stopOurs(byQueue, stop), this.#stopForeign([...foreign.keys()], stop, fromCommand)]);
    const byId = new Map([...ours, ...theirs].map((result) => [result.id, result]));
    return targets.map(({ id }) => byId.get(id) ?? withoutKids(id, this.#foreign.endedByUs(id) ?? { kind: 'not_found' }));
  }

  async #stopForeign(ids: readonly string[], stop: PlainStop, fromCommand: boolean): Promise<RoundResult[]> {
    if (ids.length === 0 || fromCommand) return ids.map((id) => withoutKids(id, { kind: 'foreign', goneAt: null }));
    return [...(await this.#foreign.stop(ids, stop))].map(([id, answer]) => withoutKids(id, answer));
  }

  async #stopOurs(byQueue: ReadonlyMap<string, string[]>, stop: PlainStop): Promise<RoundResult[]> {
    const { reason, by } = stop;
    const recording = { stop: formatStop(stop), text: describeStop(reason, by), token: newToken(), dead: [] };
    const groups = groupsOf(byQueue);
    // All at once, the intents first: whoever hears the message finds its intent.
    const recorded = groups.map(({ queue, some }) => this.#recorder.record(queue, some, recording));
    const ours = groups.flatMap(({ some }) => some);
    const { onStep, redis } = this.#options;
    if (!keepsOrder(redis)) await Promise.all(recorded);
    if (onStep) await Promise.all(recorded).then(() => Promise.all(ours.map((id) => onStep('stop:recorded', id))));
    const publishing = this.#publisher.recorded(ours, stop, stop.at);
    const found = await this.#recorder.recordEarly((await Promise.all(recorded)).flat(), recording);
    // Of many, the caller need not wait until all of this is written.
    if (found.length <= ANNOUNCED) this.#announceState(found);
    else setImmediate(() => this.#announceState(found));
    const inFlows = await this.#children.inFlows(found);
    const answers = await this.#recorder.settle(found, recording.token);
    const unheard = (await publishing) === 0;
    const running = found.flatMap(({ id, recorded: [what] }) => (what === 'active' ? [id] : []));
    if (unheard && running.length > 0) void this.#recheckUnheard(running);
    return found.map(({ id, recorded: [, , children] }) => ({
      id,
      answer: answers.get(id) as StopAnswer,
      children: Boolean(children),
      inFlow: inFlows.get(id) ?? [],
    }));
  }

  /** Tells those who follow a task's events, if it has any yet. */
  #announceState(found: readonly FoundTask[]): void {
    const { redis, keys, logger } = this.#options;
    for (const {
      id,
      recorded: [what],
    } of found) {
      if (what !== 'active' && what !== 'left') continue;
      Promise.all(writeState(redis, keys.events(id), 'stopping')).catch((error: unknown) =>
        logger.debug({ id, error }, 'A stop was not written to the events of its task'),
      );
    }
  }

  /** Nobody is subscribed, or nobody is alive. Does not keep the process. */
  async #recheckUnheard(ids: readonly string[]): Promise<void> {
    try {
      await sleep(UNHEARD_RECHECK_MS, undefined, { ref: false });
      const open = [...(await this.recheck(ids))].filter(([, { kind }]) => kind === 'recorded').map(([id]) => id);
      if (open.length > 0) await this.#publisher.recorded(open, { reason: null, by: null }, this.#options.clock.now());
    } catch (error) {
      this.#options.logger.debug({ error: messageOf(error) }, 'Could not look again at a stop that no worker heard');
    }
  }
}

function withoutKids(id: string, answer: StopAnswer): RoundResult {
  return { id, answer, children: false, inFlow: [] };
}
