import type { FleetClock } from '../../shared/clock/fleet-clock.js';
import { quote } from '../../shared/keys.js';
import { DURATIONS, type Duration, MAX_SERIES_BUCKET, SERIES, type SeriesStep } from '../../shared/metrics/fields.js';
import type { Store } from '../../shared/store.js';
import { TERMINAL_STATES, type TerminalState, byTerminalState } from '../../shared/task/state.js';
import type { Buckets } from './durations.js';

/** The counts of a task name in one slot. */
export interface NameFigures {
  readonly finished: Readonly<Record<TerminalState, number>>;
  readonly durations: Readonly<Record<Duration, Buckets>>;
}

/** The counts of one slot, by task name. */
export type Slot = ReadonlyMap<string, NameFigures>;

/** The latest slots of a series, oldest first. The last one is incomplete. */
export interface Series {
  readonly stepMs: number;
  /** Start of the first slot, in ms since the epoch. */
  readonly from: number;
  readonly slots: readonly Slot[];
}

interface ReadSlot {
  readonly slot: Slot;
  readonly readAt: number;
}

/** After that time, only a process that could not reach Redis still adds to a slot. */
const LATE_MS = 120_000;
/** How long a slot of the past is used before it is read again, because of such processes. */
const REUSED_MS = 600_000;
/** Slots read at once: a slot may have thousands of fields. */
const AT_ONCE = 20;

/** Reads the time series by task name. Slots of the past are kept, so that each reading costs the last ones only. */
export class SeriesReader {
  readonly #read = new Map<string, ReadSlot>();

  constructor(private readonly store: Pick<Store, 'redis' | 'keys' | 'unreadable'> & { readonly clock: Pick<FleetClock, 'now'> }) {}

  async read(step: SeriesStep, length: number): Promise<Series> {
    const { ms: stepMs } = SERIES[step];
    const now = this.store.clock.now();
    const first = Math.floor(now / stepMs) - length + 1;
    for (const [key, { readAt }] of this.#read) if (now - readAt > REUSED_MS) this.#read.delete(key);
    const slots: Slot[] = [];
    for (let index = 0; index < length; index += AT_ONCE) {
      const numbers = Array.from({ length: Math.min(AT_ONCE, length - index) }, (_, offset) => first + index + offset);
      slots.push(...(await Promise.all(numbers.map((number) => this.#slot(step, number, now)))));
    }
    return { stepMs, from: first * stepMs, slots };
  }

  async #slot(step: SeriesStep, number: number, now: number): Promise<Slot> {
    const { redis, keys, unreadable } = this.store;
    const key = keys.series(step, String(number));
    const known = this.#read.get(key);
    if (known) return known.slot;
    const counts = await unreadable.read(key, 'hash', redis.hgetall(key), {});
    const slot = parseSlot(counts, (field, problem) => unreadable.report({ key, id: field, problem }));
    if (now > (number + 1) * SERIES[step].ms + LATE_MS) this.#read.set(key, { slot, readAt: now });
    return slot;
  }
}

/** Parses the fields of a slot. Those that this version does not know are left out. */
function parseSlot(counts: Readonly<Record<string, string>>, report: (field: string, problem: string) => void): Slot {
  const slot = new Map<string, { finished: Record<TerminalState, number>; durations: Record<Duration, number[]> }>();
  for (const [field, text] of Object.entries(counts)) {
    const [counted, name = '', label = ''] = field.split('|');
    const outcome = counted === 'finished' ? TERMINAL_STATES.find((state) => state === label) : undefined;
    const duration = DURATIONS.find((one) => one === counted);
    const bucket = Number(label);
    const isBucket = label !== '' && Number.isInteger(bucket) && bucket >= 0 && bucket <= MAX_SERIES_BUCKET;
    if (!outcome && !(duration && isBucket)) continue;
    const count = Number(text);
    if (!Number.isSafeInteger(count) || count < 0) {
      report(field, `expected a whole number, got ${quote(text)}`);
      continue;
    }
    let figures = slot.get(name);
    if (!figures) slot.set(name, (figures = { finished: { ...byTerminalState(() => 0) }, durations: { run: [], wait: [], stop: [] } }));
    if (outcome) figures.finished[outcome] = count;
    else if (duration) figures.durations[duration].push(bucket, count);
  }
  return slot;
}
