import { quote } from '../../shared/keys.js';
import { BOUNDS_MS, type Counted, type HistogramName, INF, SUM, parseField } from '../../shared/metrics/fields.js';
import { REPAIRS } from '../../shared/metrics/task-counters.js';
import { UNREADABLE_KINDS } from '../../shared/records/unreadable-kinds.js';
import type { RecordSource } from '../../shared/records/unreadable.js';
import { STOP_WAYS } from '../../shared/stop/receipt.js';
import { TERMINAL_STATES } from '../../shared/task/state.js';
import { type MetricName, type Sample, sample } from './exposition.js';

/** Counters with their metric and labels, in the order of the counter's fields. */
const COUNTERS = {
  enqueued: ['taskfleet_tasks_enqueued_total', 'queue', 'name'],
  retried: ['taskfleet_tasks_retried_total', 'queue', 'name'],
  finished: ['taskfleet_tasks_finished_total', 'queue', 'name', 'outcome'],
  stops: ['taskfleet_stops_total', 'outcome', 'via'],
  repairs: ['taskfleet_reconciler_repairs_total', 'kind'],
  unreadable: ['taskfleet_unreadable_records_total', 'kind'],
} as const satisfies Partial<Record<Counted, readonly [MetricName, ...string[]]>>;

const HISTOGRAMS = {
  wait: ['taskfleet_task_wait_seconds', 'queue'],
  run: ['taskfleet_task_run_seconds', 'queue', 'name'],
  stop: ['taskfleet_stop_latency_seconds', 'phase'],
} as const satisfies Record<HistogramName, readonly [MetricName, ...string[]]>;

/** A histogram's values for one set of labels: counts by bucket bound in ms, and the sum in ms. */
interface Values {
  readonly histogram: HistogramName;
  readonly labels: Readonly<Record<string, string>>;
  readonly buckets: Map<number, number>;
  sumMs: number;
}

/** Returns the totals of the whole fleet, identical on every dashboard. */
export async function countSamples({ redis, keys, unreadable }: RecordSource): Promise<Sample[]> {
  const counts = await unreadable.read(keys.counters, 'hash', redis.hgetall(keys.counters), {});
  for (const [field, text] of Object.entries(counts))
    if (!isCount(text)) unreadable.report({ key: keys.counters, id: field, problem: `expected a number, got ${quote(text)}` });
  return samplesOf(counts);
}

/** Converts counters to samples; fields unknown to this version are skipped. */
export function samplesOf(counts: Readonly<Record<string, string>>): Sample[] {
  const totals = zeroSamples(Object.keys(counts));
  const histograms = new Map<string, Values>();
  for (const [field, text] of Object.entries(counts)) {
    const parsed = parseField(field);
    const value = Number(text);
    if (!parsed || !isCount(text)) continue;
    const { counted, labels } = parsed;
    if (isHistogram(counted)) addTo(histograms, counted, labels, value);
    else if (labels.length === COUNTERS[counted].length - 1) totals.set(field, counterSample(counted, labels, value));
  }
  return [...totals.values(), ...[...histograms.values()].flatMap(histogramSamples)];
}

/** Returns known series with the value 0: Prometheus sees no increase in a series that first appears with 1. */
function zeroSamples(fields: readonly string[]): Map<string, Sample> {
  const zeros = new Map<string, Sample>();
  const add = (counted: keyof typeof COUNTERS, ...labels: string[]): void =>
    void zeros.set([counted, ...labels].join('|'), counterSample(counted, labels, 0));
  for (const kind of REPAIRS) add('repairs', kind);
  for (const kind of UNREADABLE_KINDS) add('unreadable', kind);
  for (const via of STOP_WAYS) add('stops', 'cancelled', via);
  for (const outcome of ['finished', 'not_found']) add('stops', outcome, '');
  for (const field of fields) {
    const { counted = null, labels = [] } = parseField(field) ?? {};
    const [queue = '', name = ''] = labels;
    if (counted === 'enqueued' || counted === 'finished') for (const outcome of TERMINAL_STATES) add('finished', queue, name, outcome);
  }
  return zeros;
}

function counterSample(counted: keyof typeof COUNTERS, labels: readonly string[], value: number): Sample {
  const [metric, ...names] = COUNTERS[counted];
  return sample(metric, value, named(names, labels));
}

function addTo(histograms: Map<string, Values>, histogram: HistogramName, labels: readonly string[], value: number): void {
  const [, ...names] = HISTOGRAMS[histogram];
  if (labels.length !== names.length + 1) return;
  const bucket = labels.at(-1) as string;
  const key = [histogram, ...labels.slice(0, -1)].join('|');
  const values = histograms.get(key) ?? { histogram, labels: named(names, labels), buckets: new Map<number, number>(), sumMs: 0 };
  histograms.set(key, values);
  if (bucket === SUM) values.sumMs += value;
  else values.buckets.set(bucket === INF ? Infinity : Number(bucket), value);
}

/** Converts to Prometheus's cumulative buckets. */
function histogramSamples({ histogram, labels, buckets, sumMs }: Values): Sample[] {
  const [metric] = HISTOGRAMS[histogram];
  // Counts of versions with other bounds go to the next larger bound.
  const upTo = (bound: number): number => [...buckets].reduce((sum, [upper, count]) => (upper <= bound ? sum + count : sum), 0);
  const series = BOUNDS_MS[histogram].map((bound): Sample => ({
    metric,
    series: 'bucket',
    labels: { ...labels, le: String(bound / 1_000) },
    value: upTo(bound),
  }));
  const count = upTo(Infinity);
  return [
    ...series,
    { metric, series: 'bucket', labels: { ...labels, le: '+Inf' }, value: count },
    { metric, series: 'sum', labels, value: sumMs / 1_000 },
    { metric, series: 'count', labels, value: count },
  ];
}

function named(names: readonly string[], labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.map((name, index) => [name, labels[index] as string]));
}

function isCount(text: string): boolean {
  return text !== '' && Number.isFinite(Number(text)) && Number(text) >= 0;
}

function isHistogram(counted: Counted): counted is HistogramName {
  return Object.hasOwn(HISTOGRAMS, counted);
}
