import type { Store } from '../../../../shared/store.js';
import { type TerminalState, isTerminal } from '../../../../shared/task/state.js';
import type { TaskView } from '../../../../shared/task/view.js';
import { type LoadKind, endOf, loadTask } from '../load/load-task.js';
import type { EndLog } from './end-log.js';
import type { HandlerLog, HandlerRun } from './handler-log.js';
import type { Enqueued, History, Stopped } from './history.js';
import { endedIds, leftovers } from './leftovers.js';

/** The kinds of problems. A fault that destroys data makes some unavoidable; those are counted without failing. */
export const PROBLEMS = [
  'lost',
  'unfinished',
  'wrong end',
  'two outcomes',
  'stop lost',
  'began after its stop',
  'ran on after its stop',
  'added though rejected',
  'left behind',
] as const;
export type ProblemKind = (typeof PROBLEMS)[number];

export interface Problem {
  readonly kind: ProblemKind;
  readonly id: string;
  readonly what: string;
}

export interface AuditCounts {
  readonly acknowledged: number;
  readonly completed: number;
  readonly failed: number;
  readonly cancelled: number;
  readonly skipped: number;
  /** Rejected enqueues, and how many of them added a task anyway. */
  readonly rejected: number;
  readonly madeThoughRejected: number;
  /** Handler calls beyond the attempts of the definition: execution is at least once. */
  readonly ranAgain: number;
  /** Of those, calls that overlapped another call of the same task. */
  readonly overlapping: number;
  readonly stopsAcknowledged: number;
  readonly stopsRejected: number;
  /** Stops recorded in time whose task ended before the abort reached it. */
  readonly endedBeforeAbort: number;
  /** Handlers that could not learn of their settled stop: abandoned, or cut off from their lock. */
  readonly zombies: number;
  readonly lost: number;
  readonly twoOutcomes: number;
  readonly stopsLost: number;
  readonly left: Readonly<Record<string, number>>;
}

export interface AuditReport {
  readonly counts: AuditCounts;
  readonly problems: readonly Problem[];
}

export interface Facts {
  readonly store: Store;
  readonly history: History;
  readonly log: HandlerLog;
  readonly ends: EndLog;
}

const READ_AT_ONCE = 500;
/** Expected handler calls of a task without a stop. */
const CALLS: Readonly<Partial<Record<LoadKind, number>>> = { retry: 2, fail: 3 };

/**
 * The audit at the end of every fault, for a fleet at rest: each acknowledged task ended once and as expected, as did each rejected
 * task that exists anyway; every acknowledged stop holds; no handler ran after its stop; nothing is left behind.
 */
export async function audit({ store, history, log, ends }: Facts): Promise<AuditReport> {
  log.refresh();
  await ends.read();
  const kept = await endedIds(store, loadTask.queue);
  const extra = [...kept].filter((id) => !history.enqueued.has(id));
  const views = await readAll(store, [...history.enqueued.keys(), ...extra]);
  const left = await leftovers(store, loadTask.queue, kept);
  const stopsOf = new Map<string, Stopped[]>();
  for (const stop of history.stops) stopsOf.set(stop.receipt.id, [...(stopsOf.get(stop.receipt.id) ?? []), stop]);

  const problems: Problem[] = [];
  const tell = (kind: ProblemKind, id: string, what: string): void => void problems.push({ kind, id, what });
  const states = { completed: 0, failed: 0, cancelled: 0, skipped: 0 };
  let [ranAgain, overlapping, endedBeforeAbort, zombies] = [0, 0, 0, 0];
  for (const [id, view] of views) {
    const task = history.enqueued.get(id);
    const stops = stopsOf.get(id) ?? [];
    if (!view) {
      tell('lost', id, 'acknowledged, and gone');
      continue;
    }
    if (!isTerminal(view.state)) {
      tell('unfinished', id, `is ${view.state}`);
      continue;
    }
    states[view.state] += 1;
    const runs = log.of(id);
    if (task) {
      ranAgain += Math.max(0, runs.length - (CALLS[task.kind] ?? 1));
      if (!isExpected(view, task, history)) tell('wrong end', id, `a ${task.kind} ended as ${view.state}: ${view.error}`);
    }
    overlapping += runs.filter((run, index) =>
      runs.some((other, at) => at < index && (other.endedAt ?? other.lastAt) > run.beganAt),
    ).length;
    for (const what of contradictions(id, view.state, stops, { history, ends })) tell('two outcomes', id, what);
    if (history.undoneStops.has(id)) tell('stop lost', id, 'it ran on, and had to be stopped once more');
    const after = checkStops(view, stops, runs);
    endedBeforeAbort += after.endedBeforeAbort ? 1 : 0;
    zombies += after.zombies;
    for (const [kind, what] of after.problems) tell(kind, id, what);
  }
  const unsure = history.refusedEnqueues.filter(({ code }) => code === 'REDIS_UNAVAILABLE' || code === 'NOT_REPLICATED').length;
  if (extra.length > unsure)
    tell('added though rejected', extra[0] as string, `${extra.length} unacknowledged tasks, ${unsure} of unknown outcome`);
  for (const [name, count] of Object.entries(left)) if (count > 0) tell('left behind', name, String(count));

  const count = (kind: ProblemKind): number => new Set(problems.filter((one) => one.kind === kind).map(({ id }) => id)).size;
  const counts = {
    ...{ acknowledged: history.enqueued.size, ...states, rejected: history.refusedEnqueues.length, madeThoughRejected: extra.length },
    ...{
      ranAgain,
      overlapping,
      stopsAcknowledged: history.stops.length,
      stopsRejected: history.refusedStops.length,
      endedBeforeAbort,
      zombies,
    },
    ...{ lost: count('lost') + count('unfinished'), twoOutcomes: count('two outcomes'), stopsLost: count('stop lost'), left },
  };
  return { counts, problems };
}

async function readAll(store: Store, ids: readonly string[]): Promise<Map<string, TaskView | null>> {
  const views = new Map<string, TaskView | null>();
  for (let from = 0; from < ids.length; from += READ_AT_ONCE) {
    const some = ids.slice(from, from + READ_AT_ONCE);
    const tasks = await store.reader.read(some);
    for (const id of some) views.set(id, tasks.get(id) ?? null);
  }
  return views;
}

/** Returns whether a task ended as its kind says, or had a requested stop. */
function isExpected({ state }: TaskView, { id, kind, item }: Enqueued, history: History): boolean {
  if (state !== 'cancelled') return state === endOf(kind);
  return history.asked.has(id) || (item !== null && history.askedItems.has(item));
}

/** Returns the reports of a task's end that contradict its state or each other. */
function contradictions(
  id: string,
  state: TerminalState,
  stops: readonly Stopped[],
  { history, ends }: Pick<Facts, 'history' | 'ends'>,
): string[] {
  const found: string[] = [];
  const events = (ends.ends.get(id) ?? []).map(({ event }) => event);
  if (events.length > 1) found.push(`its queue reported ${events.join(' and ')}`);
  if (events.length === 0 && !ends.gap) found.push('its queue reported no end');
  if (events.length === 1 && (events[0] === 'completed') !== (state === 'completed'))
    found.push(`its queue reported ${events[0]}, it is ${state}`);
  for (const heard of history.ends)
    if (heard.id === id && heard.state !== state) found.push(`a waiting client got ${heard.state}, it is ${state}`);
  for (const { receipt } of stops) {
    if (receipt.endedAs !== null && receipt.endedAs !== state) found.push(`a receipt says ${receipt.endedAs}, it is ${state}`);
  }
  return found;
}

interface AfterStop {
  readonly problems: readonly (readonly [kind: ProblemKind, what: string])[];
  readonly endedBeforeAbort: boolean;
  readonly zombies: number;
}

/** Returns what the handlers of a task did after its stop was acknowledged, and whether the stop held. */
function checkStops({ state, stop }: TaskView, stops: readonly Stopped[], runs: readonly HandlerRun[]): AfterStop {
  const held = stops.filter(({ receipt: { outcome } }) => outcome === 'cancelled' || outcome === 'requested');
  if (held.length === 0) return { problems: [], endedBeforeAbort: false, zombies: 0 };
  const problems: [ProblemKind, string][] = [];
  const settledAt = Math.min(...held.map(({ receipt, answeredAt }) => (receipt.outcome === 'cancelled' ? answeredAt : Infinity)));
  for (const { beganAt } of runs)
    if (beganAt > settledAt) problems.push(['began after its stop', `${Math.round(beganAt - settledAt)} ms after it was settled`]);
  // The handler had all but returned at the abort: the stop was recorded, but nothing was left to stop.
  const endedBeforeAbort =
    state === 'completed' && settledAt === Infinity && runs.some(({ how, aborted }) => how === 'returned' && aborted === null);
  if (state !== 'cancelled' && !endedBeforeAbort)
    problems.push(['stop lost', `acknowledged as ${held[0]?.receipt.outcome}, and it is ${state}`]);

  const ranOn = runs.filter(({ beganAt, lastAt, endedAt }) => beganAt <= settledAt && Math.max(lastAt, endedAt ?? 0) > settledAt);
  // An abandoned handler cannot be ended, and a frozen or disconnected worker cannot learn that others took over.
  const last = runs.at(-1);
  const isZombie = (run: HandlerRun): boolean => run !== last || stop?.via === 'abandon' || stop?.via === 'fence';
  for (const run of ranOn)
    if (!isZombie(run))
      problems.push([
        'ran on after its stop',
        `${Math.round((run.endedAt ?? run.lastAt) - settledAt)} ms after it was settled, via ${stop?.via}`,
      ]);
  return { problems, endedBeforeAbort, zombies: ranOn.filter(isZombie).length };
}
