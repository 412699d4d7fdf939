import type { FleetClock } from '../clock/fleet-clock.js';
import { chunks } from '../limits.js';
import { written } from '../redis/batched-writes.js';
import { keepsOrder } from '../redis/connection.js';
import type { FleetFacts } from '../registry/fleet-facts.js';
import type { Entry } from '../registry/registry.js';
import type { JobAddress } from '../task/job-options.js';
import type { Located, TaskReader } from '../task/task-reader.js';
import { allEnded } from '../time.js';
import { deadWorkers } from '../workers/heartbeats.js';
import { describeStop } from './cause.js';
import { type Asker, CommandPublisher } from './commands.js';
import { ForeignStops } from './foreign-stops.js';
import { EarlyRecords, LikelyQueues } from './likely-queues.js';
import { type StopAnswer, formatStop } from './receipt.js';
import { Children, type FoundTask, type RecorderOptions, type Recording, StopRecorder, groupsOf, newToken } from './recorder.js';
import { StopMessages } from './stop-messages.js';

export interface StopRequest extends Asker {
  /** True for a stop received as a command without a record. Default false. */
  readonly fromCommand?: boolean;
  /** Called with the tasks of each queue right before their stops are recorded there: of likely queues, then of others. Default: not called. */
  readonly onLocated?: (byQueue: ReadonlyMap<string, readonly string[]>) => void;
}

interface StopperOptions extends RecorderOptions {
  readonly reader: TaskReader;
  readonly clock: FleetClock;
  readonly facts: FleetFacts;
  /** Null outside tests; see StepHook of the store. */
  readonly onStep: ((step: 'stop:recorded', id: string) => Promise<void>) | null;
}

interface PlainStop extends Asker, Pick<StopRequest, 'onLocated'> {
  /** In ms since the epoch. */
  readonly at: number;
  readonly recording: Recording;
}

/** A task to stop. */
interface Target {
  readonly id: string;
  /** Set for a child in a flow, which may be on a queue that the fleet does not know. */
  readonly queue?: string;
}

interface RoundResult {
  readonly id: string;
  readonly answer: StopAnswer;
  /** Whether it has children, enqueued by its handler or in a flow. */
  readonly children: boolean;
  /** Children in a flow. */
  readonly inFlow: readonly JobAddress[];
}

/** Tasks per round: jobs that a script takes must be settled before its lock expires. */
const ROUND = 10_000;
/** Groups of tasks whose records are on their way: the first ones are settled while Redis records the next. */
const GROUPS_AT_ONCE = 8;
/** A stop of up to this many tasks is announced before it is recorded. */
const ANNOUNCED = 16;

/**
 * Steps 1 to 3 and 7 of the stop protocol: look up, record, publish; settle tasks that no worker runs. Used by producers, by
 * workers that receive a command without a record, and by the reconciler. The number of round trips does not depend on the number of
 * tasks, up to 10,000. docs/explanation/stop-protocol.md describes the protocol.
 */
export class Stopper {
  readonly #options: StopperOptions;
  readonly #recorder: StopRecorder;
  readonly #children: Children;
  readonly #publisher: CommandPublisher;
  readonly #messages: StopMessages;
  readonly #foreign: ForeignStops;
  readonly #likely = new LikelyQueues();
  readonly #open = new Set<Promise<unknown>>();

  constructor(options: StopperOptions) {
    this.#options = options;
    this.#recorder = new StopRecorder(options);
    this.#children = new Children(options);
    this.#publisher = new CommandPublisher(options);
    this.#messages = new StopMessages({ ...options, publisher: this.#publisher, recheck: (ids) => this.recheck(ids) });
    this.#foreign = new ForeignStops(options.registry, options.reader, this.#publisher, options.clock);
  }

  /** Waits until no stop is in progress. Closing the connection earlier would leave tasks under a stale lock. */
  async idle(): Promise<void> {
    while (this.#open.size > 0) await Promise.allSettled(this.#open);
  }

  /**
   * Stops tasks with their children, enqueued by their handlers or in BullMQ flows. Returns answers for all given ids, then for
   * children. The program of a foreign task gets a command, unless the request came from a command, which would loop forever.
   * @param entries the registry entries of all ids, if the caller has just read them. Default: looks them up
   */
  async request(
    ids: readonly string[],
    request: StopRequest,
    entries: ReadonlyMap<string, Entry | null> | null = null,
  ): Promise<Map<string, StopAnswer>> {
    const answers = await this.#keep(this.#stop(ids, request, ({ kind }) => kind === 'recorded' || kind === 'cancelled', entries));
    // Every worker that receives a command requests its stops, so these are not counted.
    if (!request.fromCommand) for (const { kind } of answers.values()) this.#countMissed(kind);
    return answers;
  }

  /**
   * Stops the live tasks of an item. The children of a task that ended meanwhile are stopped too: it may have enqueued them after the
   * item was read.
   */
  async requestItem(item: string, request: StopRequest): Promise<Map<string, StopAnswer>> {
    const { registry } = this.#options;
    const entries = await registry.findItem(item);
    const answers = await this.#keep(this.#stop([...entries.keys()], request, () => true, entries));
    // Stale entries of a crash would keep the item busy forever.
    const gone = [...answers].flatMap(([id, { kind }]) => (kind === 'not_found' ? [id] : []));
    if (gone.length > 0) await registry.leaveItem(item, gone);
    for (const id of gone) answers.delete(id);
    return answers;
  }

  /**
   * Waits until these foreign tasks are gone, or until `deadline` (of performance.now). Returns when each was first missing, and the tasks
   * that are ours after all: request their stop again.
   */
  untilGone(ids: readonly string[], deadline: number): ReturnType<ForeignStops['untilGone']> {
    return this.#foreign.untilGone(ids, deadline);
  }

  /** Settles recorded stops whose task was requeued, or whose owner has died. Ignores tasks without a stop. */
  async recheck(ids: readonly string[]): Promise<Map<string, StopAnswer>> {
    const { reader } = this.#options;
    const [{ byQueue }, dead] = await Promise.all([reader.locate(ids), deadWorkers(this.#options)]);
    return this.settleStopped(byQueue, dead);
  }

  /** Rechecks one task, which its owner has just requeued for another attempt. Returns whether it was settled. */
  async settleIfStopped(queue: string, id: string): Promise<boolean> {
    const answers = await this.settleStopped(new Map([[queue, [id]]]), []);
    return answers.get(id)?.kind === 'cancelled';
  }

  /** Rechecks tasks of known queues. `dead` are the ids of dead workers. */
  settleStopped(byQueue: ReadonlyMap<string, string[]>, dead: readonly string[]): Promise<Map<string, StopAnswer>> {
    return this.#keep(this.#settleStopped(byQueue, dead));
  }

  async #settleStopped(byQueue: ReadonlyMap<string, string[]>, dead: readonly string[]): Promise<Map<string, StopAnswer>> {
    const recording = { stop: '', text: describeStop(null, null), token: newToken(), dead };
    // Each group is settled even if another one cannot be recorded: a taken job would wait for its lock to expire.
    const settling = groupsOf(byQueue).map(async ({ queue, some }) =>
      this.#recorder.settle(await this.#recorder.record(queue, some, recording), recording.token),
    );
    return new Map((await allEnded(settling)).flatMap((answers) => [...answers]));
  }

  #countMissed(kind: StopAnswer['kind']): void {
    const { taskCounters } = this.#options;
    if (kind === 'ended') taskCounters.stopMissed('finished');
    else if (kind === 'not_found') taskCounters.stopMissed('not_found');
  }

  /** Tracks work for {@link idle}. */
  #keep<Value>(work: Promise<Value>): Promise<Value> {
    this.#open.add(work);
    const end = (): void => void this.#open.delete(work);
    work.then(end, end);
    return work;
  }

  /** @param follows whether to stop the children of a task with this answer @param entries the ids' entries, if already known */
  async #stop(
    ids: readonly string[],
    request: StopRequest,
    follows: (answer: StopAnswer) => boolean,
    entries: ReadonlyMap<string, Entry | null> | null,
  ): Promise<Map<string, StopAnswer>> {
    const { reason, by, carrier, onLocated, fromCommand = false } = request;
    const at = this.#options.clock.now();
    const asked = [...new Set(ids)];
    const isFew = !fromCommand && asked.length <= ANNOUNCED;
    // Written at once: the records and look-ups of this turn, which Redis runs before it sends the messages of a write, would delay the abort.
    if (isFew && this.#publisher.mayAnnounce) {
      this.#publisher.announce(asked, request);
      await written();
    }
    const asker = { reason, by, carrier };
    const told = this.#options.onStep === null ? this.#publisher.toWorkers(asker, at) : [];
    const recording = { stop: formatStop({ ...asker, at }), text: describeStop(reason, by), token: newToken(), dead: [], told };
    const stop = { ...asker, at, recording, ...(onLocated && { onLocated }) };
    let early = isFew && entries === null && told.length > 0 ? this.#recordEarly(asked, stop) : EarlyRecords.NONE;
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
    // Each round stops the children of the previous one. A child enqueued later finds its parent's stop.
    for (let open: readonly Target[] = asked.map((id) => ({ id })); open.length > 0;) {
      const parents: string[] = [];
      const inFlows: JobAddress[] = [];
      for (const some of chunks(open, ROUND)) {
        const results = await this.#stopRound(some, locate(some), stop, { fromCommand, early });
        early = EarlyRecords.NONE;
        const known = new Set(some.flatMap(({ id, queue }) => (queue === undefined ? [] : [id])));
        for (const { id, answer, children, inFlow } of results) {
          // Children in a flow that had already ended were not stopped.
          if (!answers.has(id) && (answer.kind !== 'ended' || !known.has(id))) answers.set(id, answer);
          // A child that has ended meanwhile may have children of its own, which are stopped too.
          if (!children || (given.has(id) && !follows(answer))) continue;
          parents.push(id);
          inFlows.push(...inFlow);
        }
      }
      const enqueued = (await this.#children.enqueuedBy(parents)).filter((id) => !answers.has(id)).map((id) => ({ id }));
      // Ids are unique only within a queue, and lists written by hand may be cyclic.
      const flows = inFlows.filter(({ queue, id }) => met.size < met.add(`${queue} ${id}`).size);
      open = [...enqueued, ...flows];
    }
    return answers;
  }

  /** Records stops on the queues where the tasks probably are, in one write with their look-up. */
  #recordEarly(ids: readonly string[], stop: PlainStop): EarlyRecords {
    const queues = this.#likely.of(ids);
    if (queues.length === 0) return EarlyRecords.NONE;
    stop.onLocated?.(new Map(queues.map((queue) => [queue, ids])));
    return new EarlyRecords(new Map(queues.map((queue) => [queue, this.#recorder.record(queue, ids, stop.recording)])));
  }

  async #stopRound(
    targets: readonly Target[],
    locating: Promise<Located>,
    stop: PlainStop,
    { fromCommand, early }: { fromCommand: boolean; early: EarlyRecords },
  ): Promise<RoundResult[]> {
    const { byQueue, foreign } = await locating;
    await early.addTo(byQueue);
    if (byQueue.size > 0) this.#likely.note(byQueue.keys());
    const looked = [...foreign.keys()];
    const [ours, theirs] = await allEnded([this.#stopOurs(byQueue, stop, early), this.#stopForeign(looked, stop, fromCommand)]);
    const byId = new Map([...ours, ...theirs].map((result) => [result.id, result]));
    const lateIds = looked.filter((id) => !byId.has(id));
    if (lateIds.length > 0) {
      const { byQueue: late } = await this.#options.reader.locate(lateIds);
      for (const result of await this.#stopOurs(late, stop, EarlyRecords.NONE)) byId.set(result.id, result);
    }
    return targets.map(({ id }) => byId.get(id) ?? withoutChildren(id, this.#foreign.endedByUs(id) ?? { kind: 'not_found' }));
  }

  async #stopForeign(ids: readonly string[], stop: PlainStop, fromCommand: boolean): Promise<RoundResult[]> {
    if (ids.length === 0 || fromCommand) return ids.map((id) => withoutChildren(id, { kind: 'foreign', goneAt: null }));
    // One of them may be ours: see ForeignStops. Its enqueue, or the reconciler, finds the stop.
    if (!keepsOrder(this.#options.redis)) await this.#options.pendingStops.leave(ids, formatStop(stop));
    return [...(await this.#foreign.stop(ids, stop))].map(([id, answer]) => withoutChildren(id, answer));
  }

  async #stopOurs(byQueue: ReadonlyMap<string, string[]>, stop: PlainStop, early: EarlyRecords): Promise<RoundResult[]> {
    const { recording } = stop;
    stop.onLocated?.(byQueue);
    const recorded: Promise<FoundTask[]>[] = [];
    for (const [index, { queue, some }] of groupsOf(byQueue).entries()) {
      const record = (): Promise<FoundTask[]> => early.of(queue, some) ?? this.#recorder.record(queue, some, recording);
      recorded.push(recorded[index - GROUPS_AT_ONCE]?.then(record, record) ?? record());
    }
    const { onStep } = this.#options;
    if (onStep) await Promise.all((await Promise.all(recorded)).flat().map(({ id }) => onStep('stop:recorded', id)));
    const telling = Promise.all(recorded).then((all) => this.#messages.send(all.flat(), stop));
    // Each group is settled while Redis records the next ones.
    const settling = recorded.map((some) => this.#settleRecorded(some, recording));
    return (await allEnded([allEnded(settling), telling]))[0].flat();
  }

  async #settleRecorded(recorded: Promise<FoundTask[]>, recording: Recording): Promise<RoundResult[]> {
    const tasks = await this.#recorder.recordEarly(await recorded, recording);
    // For many tasks, do not make the caller wait for these writes.
    if (tasks.length <= ANNOUNCED) this.#recorder.writeStopping(tasks);
    else setImmediate(() => this.#recorder.writeStopping(tasks));
    const inFlows = await this.#children.inFlows(tasks);
    const answers = await this.#recorder.settle(tasks, recording.token);
    return tasks.map(({ id, recorded: [, , children] }) => ({
      id,
      answer: answers.get(id) as StopAnswer,
      children: Boolean(children),
      inFlow: inFlows.get(id) ?? [],
    }));
  }
}

function withoutChildren(id: string, answer: StopAnswer): RoundResult {
  return { id, answer, children: false, inFlow: [] };
}
