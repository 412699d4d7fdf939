import { FleetError, messageOf } from '../errors.js';
import { problemOfItem } from '../keys.js';
import type { AnyDefinition } from '../task/definition.js';
import { type ConcurrencyLimit, type KeyOf, type KeyedTask, MAX_AMOUNT, type RateLimit } from './policy.js';

/** The most that a limit allows: running tasks, or the limit, period and burst of a rate. */
export type LimitMax = number | readonly [limit: number, perMs: number, burst: number];

/** A limit that applies to a task, as stored in its job's options. */
export interface LimitMark {
  /** A place is held while the task runs, a turn until it starts; a rate is paid at the start. */
  readonly kind: 'place' | 'turn' | 'rate';
  /**
   * The key: `<owner>:<key>` of a place, `rate:<owner>#<entry>:<key>` of a rate, `queue:<queue>:<key>` of a turn. The owner is
   * `task:<definition>` or `group:<group>`; the key is empty for a limit on all tasks of the owner.
   */
  readonly id: string;
  /** The entry of the definition: `<owner>#<entry>`, with `rate:` in front for a rate; `turn` for a turn. */
  readonly limit: string;
  /** The maximum at the enqueue; the definition that runs may have another one. */
  readonly max: LimitMax;
  /** Cost of a start; 1 if absent. */
  readonly cost?: number;
}

/** A limit that a task must pass before it starts. */
export interface LimitStep extends LimitMark {
  /** Longest line of the key. */
  readonly maxWaiting?: number;
  /** Whether the limit is for each key, and not for all tasks of the owner. */
  readonly keyed: boolean;
}

/** The part of a definition that limits its tasks. A definition from an older copy of this package has none of it. */
type Limited = Pick<AnyDefinition, 'name' | 'queue'> & Partial<Pick<AnyDefinition, 'concurrency' | 'rate' | 'fair'>>;

/** An entry of a definition's limits. */
interface Entry {
  readonly kind: LimitMark['kind'];
  /** Where the definition states it: `concurrency[1]`. */
  readonly field: string;
  readonly limit: string;
  /** The id of a key without the key. */
  readonly prefix: string;
  readonly by: 'item' | KeyOf | null;
  readonly max: LimitMax;
  readonly maxWaiting: number | null;
  readonly cost: RateLimit['cost'];
}

/** The limits of a definition, or those computed for one task elsewhere. */
interface Plan {
  readonly entries: ReadonlyMap<string, Pick<Entry, 'max' | 'maxWaiting'>>;
  readonly marksOf: (task: KeyedTask) => readonly LimitMark[] | null;
}

/** Tasks of a fair key that may be in the queue at once. */
const TURNS = 1;

const plans = new WeakMap<Limited, Plan | null>();

/**
 * Returns the limits that apply to a task, in the order in which the task acquires them: places of keys, its turn, rates, then places
 * without a key. Null if there are none.
 * @throws FleetError `INVALID_INPUT`, naming a `by` or `cost` that failed
 */
export function marksOf(definition: Limited, task: KeyedTask): readonly LimitMark[] | null {
  return planOf(definition)?.marksOf(task) ?? null;
}

/**
 * Returns the steps of a task with these marks under the definition that runs, which no longer has some of them, or has other maximums.
 * With null, if the definition is unknown, the marks decide.
 */
export function stepsOf(definition: Limited | null, marks: readonly LimitMark[]): LimitStep[] {
  const entries = definition && (planOf(definition)?.entries ?? new Map<string, never>());
  return marks.flatMap((mark): LimitStep[] => {
    const entry = entries === null ? mark : entries.get(mark.limit);
    if (!entry) return [];
    const maxWaiting = 'maxWaiting' in entry ? entry.maxWaiting : null;
    return [{ ...mark, max: entry.max, ...(maxWaiting !== null && { maxWaiting }), keyed: isKeyed(mark) }];
  });
}

/**
 * Returns the steps of a new task; null if no limit applies to it.
 * @throws as {@link marksOf}
 */
export function limitsOf(definition: Limited, task: KeyedTask): readonly LimitStep[] | null {
  const marks = marksOf(definition, task);
  return marks && stepsOf(definition, marks);
}

/** Returns the limits of a definition by their names, for workers to publish. The number of turns is the same for all definitions. */
export function limitsIn(definition: Limited): Pick<LimitStep, 'limit' | 'max' | 'keyed'>[] {
  return entriesOf(definition).flatMap(({ kind, limit, max, by }) => (kind === 'turn' ? [] : [{ limit, max, keyed: by !== null }]));
}

/** Returns the part of the steps that a job's options store. */
export function marksIn(steps: readonly LimitStep[]): LimitMark[] {
  return steps.map(({ maxWaiting: _, keyed: __, ...mark }) => mark);
}

/** Gives a definition, whose functions are in another thread, the steps that were computed there. */
export function presetSteps(definition: Limited, steps: readonly LimitStep[]): void {
  const entries = new Map(steps.map(({ limit, max, maxWaiting = null }) => [limit, { max, maxWaiting }]));
  const marks = marksIn(steps);
  plans.set(definition, { entries, marksOf: () => (marks.length > 0 ? marks : null) });
}

/** Reads the marks in a job's options, which any program may have written; null if they are not valid. */
export function readMarks(value: unknown): readonly LimitMark[] | null {
  return Array.isArray(value) && value.length > 0 && value.every(isMark) ? value : null;
}

function planOf(definition: Limited): Plan | null {
  let plan = plans.get(definition);
  if (plan === undefined) {
    const entries = entriesOf(definition);
    const byLimit = new Map(entries.map((entry) => [entry.limit, entry]));
    plan = entries.length === 0 ? null : { entries: byLimit, marksOf: (task) => compute(definition, entries, task) };
    plans.set(definition, plan);
  }
  return plan;
}

function entriesOf({ name, queue, concurrency = [], rate = [], fair = null }: Limited): Entry[] {
  const places = numbered(name, concurrency).map(({ entry, owner, number }, index): Entry => {
    const { by, limit: max, maxWaiting } = entry;
    return {
      ...{ kind: 'place', field: `concurrency[${index}]`, by, max, maxWaiting, cost: null },
      ...{ limit: `${owner}#${number}`, prefix: `${owner}:` },
    };
  });
  const turn: Entry[] = fair
    ? [
        {
          ...{ kind: 'turn', field: 'fair', by: fair.by, max: TURNS, maxWaiting: null, cost: null },
          ...{ limit: 'turn', prefix: `queue:${queue}:` },
        },
      ]
    : [];
  const rates = numbered(name, rate).map(({ entry: { by, limit, perMs, burst, cost }, owner, number }, index): Entry => {
    const named = `rate:${owner}#${number}`;
    return {
      ...{ kind: 'rate', field: `rate[${index}]`, by, max: [limit, perMs, burst], maxWaiting: null, cost },
      ...{ limit: named, prefix: `${named}:` },
    };
  });
  const ownFirst = places.toSorted((a, b) => Number(isGroup(a)) - Number(isGroup(b)));
  return [...ownFirst.filter(({ by }) => by !== null), ...turn, ...rates, ...ownFirst.filter(({ by }) => by === null)];
}

/** Numbers the entries of each owner, so that definitions of a group use the same names. */
function numbered<Given extends Pick<ConcurrencyLimit, 'group'>>(
  name: string,
  entries: readonly Given[],
): { readonly entry: Given; readonly owner: string; readonly number: number }[] {
  const counts = new Map<string, number>();
  return entries.map((entry) => {
    const owner = entry.group === null ? `task:${name}` : `group:${entry.group}`;
    const number = counts.get(owner) ?? 0;
    counts.set(owner, number + 1);
    return { entry, owner, number };
  });
}

function isGroup({ prefix }: Entry): boolean {
  return prefix.startsWith('group:');
}

function compute(definition: Limited, entries: readonly Entry[], task: KeyedTask): readonly LimitMark[] | null {
  const marks = new Map<string, LimitMark>();
  for (const entry of entries) {
    const key = keyOf(definition, entry, task);
    if (key === null) continue;
    const { kind, limit, max } = entry;
    const id = entry.prefix + key;
    const same = marks.get(id);
    // Two entries may give one key, for example a tenant named like an item: the lower limit holds.
    if (same && Number(same.max) <= Number(max)) continue;
    marks.set(id, { kind, id, limit, max, ...(entry.cost && { cost: costOf(definition, entry.field, entry.cost, task) }) });
  }
  return marks.size > 0 ? [...marks.values()] : null;
}

/** Returns the key of a task, `''` for a limit without keys, null if the limit does not apply. */
function keyOf(definition: Limited, { by, field }: Entry, task: KeyedTask): string | null {
  if (by === null) return '';
  if (by === 'item') return task.item || null;
  const key = called(definition, `${field}.by`, () => by(task));
  if (key === null || key === undefined) return null;
  const problem = problemOfItem(key);
  if (problem !== null) throw bad(definition, `${field}.by`, `returned a bad key: ${problem}`);
  return key;
}

function costOf(definition: Limited, field: string, cost: NonNullable<RateLimit['cost']>, task: KeyedTask): number {
  const value: unknown = called(definition, `${field}.cost`, () => cost(task));
  if (typeof value === 'number' && value >= 0 && value <= MAX_AMOUNT) return value;
  const got = typeof value === 'number' ? value : typeof value;
  throw bad(definition, `${field}.cost`, `returned a bad cost: expected a number from 0 to ${MAX_AMOUNT}, got ${got}`);
}

function called<Value>(definition: Limited, field: string, call: () => Value): Value {
  try {
    return call();
  } catch (error) {
    throw bad(definition, field, `failed (${messageOf(error)})`, error);
  }
}

function bad({ name }: Limited, field: string, problem: string, cause?: unknown): FleetError {
  return new FleetError('INVALID_INPUT', `Bad input for ${name}: ${field} ${problem}.`, { cause, details: { task: name, field } });
}

/** An unkeyed limit's id ends where its key would begin. */
function isKeyed({ kind, id, limit }: LimitMark): boolean {
  if (kind === 'turn') return true;
  const prefix = kind === 'rate' ? limit : limit.slice(0, limit.lastIndexOf('#'));
  return id !== `${prefix}:`;
}

function isMark(value: unknown): value is LimitMark {
  if (typeof value !== 'object' || value === null) return false;
  const { kind, id, limit, max, cost = 1 } = value as Partial<Record<keyof LimitMark, unknown>>;
  if (typeof id !== 'string' || typeof limit !== 'string' || !isAmount(cost)) return false;
  if (kind === 'rate') return Array.isArray(max) && max.length === 3 && max.every((part) => isAmount(part) && part > 0);
  return (kind === 'place' || kind === 'turn') && isAmount(max);
}

function isAmount(value: unknown): value is number {
  return typeof value === 'number' && value >= 0 && Number.isFinite(value);
}
