import { groupBy } from '../groups.js';
import type { Limiter } from '../limiter/limiter.js';
import { chunks } from '../limits.js';
import type { CheckedFilter } from '../task/filter/filter.js';
import type { TaskState } from '../task/state.js';
import { conditionsOf } from './conditions.js';
import { type Candidate } from './order.js';
import type { SearchStore } from './source.js';

/** Jobs per script: none takes longer than a few ms. */
const SIFTED_AT_ONCE = 200;

/** The lists of a queue that `siftJobs` reads. */
const SIFTED_PLACES = ['completed', 'failed', 'delayed', 'prioritized', 'active', 'waiting-children', 'wait'] as const;

/** Answers of `siftJobs`. */
const PASSES = 0;
const PASSES_OUT_OF_LINE = 1;

/** The end of a state that the limiter has to confirm. */
const UNSURE = '?';

/** What `siftJobs` says of a job that may pass. */
interface Answer {
  readonly candidate: Candidate;
  readonly code: number;
  readonly state: string;
}

/** Checks live tasks against a filter, by scripts on their queues. */
export class Sift {
  readonly #conditions: string;

  constructor(
    private readonly store: SearchStore,
    private readonly limiter: Pick<Limiter, 'standings'>,
    filter: CheckedFilter,
  ) {
    this.#conditions = conditionsOf(filter, 'live');
  }

  /** Returns the tasks that pass, in their order. Tasks that a script has checked and tasks on an unknown queue stay. */
  async passing(candidates: readonly Candidate[]): Promise<Candidate[]> {
    const isSure = ({ isSifted, queue }: Candidate): boolean => isSifted || queue === '';
    const answers = await this.#ask(candidates.filter((one) => !isSure(one)));
    const inLine = await this.#inLine(answers.filter(({ code }) => code !== PASSES));
    const passing = new Set(candidates.filter(isSure));
    for (const { candidate, code } of answers)
      if (code === PASSES || inLine.has(candidate.id) !== (code === PASSES_OUT_OF_LINE)) passing.add(candidate);
    return candidates.filter((one) => passing.has(one));
  }

  /** Returns the states of the tasks that pass. Leaves out tasks on an unknown queue. */
  async states(candidates: readonly Candidate[]): Promise<Map<Candidate, TaskState>> {
    const answers = await this.#ask(candidates.filter(({ queue }) => queue !== ''));
    const inLine = await this.#inLine(answers.filter(({ state }) => state.endsWith(UNSURE)));
    const states = new Map<Candidate, TaskState>();
    for (const { candidate, code, state } of answers) {
      const waits = state.endsWith(UNSURE) && inLine.has(candidate.id);
      if (code !== PASSES && waits === (code === PASSES_OUT_OF_LINE)) continue;
      states.set(candidate, waits ? 'queued' : (state.replace(UNSURE, '') as TaskState));
    }
    return states;
  }

  async #ask(candidates: readonly Candidate[]): Promise<Answer[]> {
    const asking = [...groupBy(candidates, ({ queue }) => queue)].flatMap(([queue, some]) =>
      chunks(some, SIFTED_AT_ONCE).map((part) => this.#sift(queue, part)),
    );
    return (await Promise.all(asking)).flat();
  }

  async #sift(queue: string, candidates: readonly Candidate[]): Promise<Answer[]> {
    const { redis, keys, queues } = this.store;
    const ids = candidates.map(({ id }) => id);
    const answers = await redis.siftJobs(...queues.scriptKeys(queue, ...SIFTED_PLACES), keys.jobs(queue), this.#conditions, ...ids);
    return chunks(answers, 3).map(([place, code, state]) => ({
      candidate: candidates[Number(place) - 1] as Candidate,
      code: Number(code),
      state: String(state),
    }));
  }

  /** Returns the ids of those that wait in a line. A delayed task with limits is queued then, which only the limiter knows. */
  async #inLine(unsure: readonly Answer[]): Promise<ReadonlySet<string>> {
    if (unsure.length === 0) return new Set();
    const { keys, unreadable } = this.store;
    const asking = chunks(unsure, SIFTED_AT_ONCE).map((some) => this.limiter.standings(some.map(({ candidate }) => candidate.id)));
    const standings = await unreadable.read(keys.limiter('tasks'), 'hash', Promise.all(asking), []);
    return new Set(standings.flatMap((some) => [...some.keys()]));
  }
}
