import type { Capability } from '../compared/peer.js';
import type { Job } from '../options.js';

export interface Metric {
  readonly id: string;
  /** The row of the table. */
  readonly title: string;
  readonly unit: 'jobs/s' | 'ms' | 'µs';
  /** The section of the tables and of the plot. */
  readonly section: 'Enqueue' | 'Process' | 'Latency' | 'Stop';
  /** What a peer must offer; null for what all offer. */
  readonly capability: Capability | null;
  readonly better: 'higher' | 'lower';
}

type Row = Omit<Metric, 'id' | 'unit' | 'section' | 'better'>;

/** Returns a rate and the CPU per job of its two sides. */
function throughput(id: string, section: 'Enqueue' | 'Process', node: 'client' | 'worker', { title, capability }: Row): Metric[] {
  return [
    { id, title, unit: 'jobs/s', section, capability, better: 'higher' },
    { id: `${id}.node`, title: `CPU of the ${node}, per job`, unit: 'µs', section, capability, better: 'lower' },
    { id: `${id}.server`, title: 'CPU of the server, per job', unit: 'µs', section, capability, better: 'lower' },
  ];
}

/** All rows of the report, in their order. */
export const METRICS: readonly Metric[] = [
  ...throughput('enqueue.alone', 'Enqueue', 'client', { title: 'one call at a time', capability: null }),
  ...throughput('enqueue.callers', 'Enqueue', 'client', { title: '100 calls in flight', capability: null }),
  ...throughput('enqueue.bulk', 'Enqueue', 'client', { title: 'in bulk, 500 jobs a call', capability: 'bulk' }),
  ...throughput('process.noop', 'Process', 'worker', { title: 'no-op, 64 slots', capability: 'process' }),
  ...throughput('process.sleep', 'Process', 'worker', { title: '5 ms of waiting, 64 slots', capability: 'process' }),
  { id: 'latency', title: 'enqueue → start', unit: 'ms', section: 'Latency', capability: 'latency', better: 'lower' },
  { id: 'stop.waiting.settled', title: 'waiting: stop → settled', unit: 'ms', section: 'Stop', capability: 'stopWaiting', better: 'lower' },
  {
    id: 'stop.running.told',
    title: 'running: stop → handler told',
    unit: 'ms',
    section: 'Stop',
    capability: 'stopRunning',
    better: 'lower',
  },
  { id: 'stop.running.settled', title: 'running: stop → settled', unit: 'ms', section: 'Stop', capability: 'stopRunning', better: 'lower' },
  { id: 'stop.cpu.settled', title: 'CPU-bound: stop → settled', unit: 'ms', section: 'Stop', capability: 'stopCpu', better: 'lower' },
  { id: 'stop.cpu.released', title: 'CPU-bound: stop → core free', unit: 'ms', section: 'Stop', capability: 'stopCpu', better: 'lower' },
];

export function jobOf(section: Metric['section']): Job {
  return section.toLowerCase() as Lowercase<Metric['section']>;
}

export function metricOf(id: string): Metric {
  const metric = METRICS.find((each) => each.id === id);
  if (metric === undefined) throw new Error(`Unknown metric ${id}`);
  return metric;
}
