import { CAPABILITIES, type Capability, type PeerInfo, isOffered } from '../compared/peer.js';
import type { Job } from '../options.js';
import type { RoundsResult } from '../run/rounds.js';
import type { MachineDescription } from '../servers/machine.js';
import { emptyCell, formatNumber, formatSummary, markdownTable } from './format.js';
import { METRICS, type Metric, jobOf, metricOf } from './metrics.js';
import { summarize } from './statistics.js';

export interface ReportData {
  readonly machine: MachineDescription;
  readonly infos: readonly PeerInfo[];
  readonly result: RoundsResult;
  readonly minutes: number;
}

/** Returns the paragraph about the machine and the run. */
export function runText({ machine, result, minutes }: ReportData): string {
  const packages = Object.entries(machine.packages).map(([name, version]) => `${name} ${version}`);
  return (
    `${machine.date}: ${machine.cpu}, ${machine.cores} cores, ${machine.memoryGiB} GiB; ${machine.system}; Node.js ${machine.node.slice(1)} ` +
    `on all sides; ${machine.servers.join('; ')}; ${packages.join(', ')}. Load ${machine.load.toFixed(2)} at the start; ` +
    `${result.rounds} interleaved ${result.rounds === 1 ? 'round' : 'rounds'} in ${minutes.toFixed(1)} minutes.`
  );
}

/** Returns the tables of the jobs that were run, as Markdown. */
export function resultTables(data: ReportData): string {
  const rates = (section: Metric['section']): Metric[] => METRICS.filter((metric) => metric.section === section && metric.unit !== 'µs');
  const tables: [title: string, text: string, table: string, jobs: readonly Job[]][] = [
    ['### Enqueue', 'Jobs per second, median (range).', metricTable(data, rates('Enqueue')), ['enqueue']],
    ['### Process', 'Jobs per second until every result is stored, median (range).', metricTable(data, rates('Process')), ['process']],
    ['### CPU per job', 'Microseconds in Node.js + in the server, medians.', cpuTable(data), ['enqueue', 'process']],
    ['### Enqueue → start', 'Milliseconds, an idle worker in another process.', latencyTable(data), ['latency']],
    ['### Stop', 'Milliseconds from the call in another process, median (range).', metricTable(data, rates('Stop')), ['stop']],
  ];
  return tables
    .filter(([, , , jobs]) => jobs.some((job) => data.result.jobs.includes(job)))
    .map(([title, text, table]) => [title, text, table].join('\n\n'))
    .join('\n\n');
}

/** Returns what each peer was asked to do, and why not where it was not. */
export function capabilityTable({ infos }: ReportData): string {
  const titles: Record<Capability, string> = {
    bulk: 'bulk',
    process: 'process',
    latency: 'start',
    stopWaiting: 'stop waiting',
    stopRunning: 'stop running',
    stopCpu: 'stop CPU-bound',
  };
  const rows = infos.flatMap(({ title, capabilities }) =>
    CAPABILITIES.map((capability) => {
      const offer = capabilities[capability];
      return [title, titles[capability], isOffered(offer) ? offer.how : `not offered: ${offer.reason} (${offer.source})`];
    }),
  );
  return markdownTable(['', 'job', 'what was measured'], rows, 'left');
}

export function settingsTable({ infos }: ReportData): string {
  const rows = infos.map(({ title, server, settings, source }) => [title, server, settings, source]);
  return markdownTable(['', 'server', 'settings', 'source'], rows, 'left');
}

function metricTable({ infos, result }: ReportData, metrics: readonly Metric[]): string {
  const cell = (info: PeerInfo, metric: Metric): string => {
    const summary = summarize(result.samples, info.name, metric.id);
    return summary === null ? emptyCell(offers(info, metric)) : formatSummary(summary);
  };
  const rows = infos.map((info) => [info.title, ...metrics.map((metric) => cell(info, metric))]);
  return markdownTable(['', ...metrics.map(({ title }) => title)], rows);
}

function cpuTable({ infos, result }: ReportData): string {
  const rates = METRICS.filter(({ unit, section }) => unit === 'jobs/s' && result.jobs.includes(jobOf(section)));
  const cell = (info: PeerInfo, metric: Metric): string => {
    const [node, server] = ['node', 'server'].map((side) => summarize(result.samples, info.name, `${metric.id}.${side}`));
    if (!node) return emptyCell(offers(info, metric));
    return `${formatNumber(node.median)} + ${server ? formatNumber(server.median) : '?'}`;
  };
  const rows = infos.map((info) => [info.title, ...rates.map((metric) => cell(info, metric))]);
  return markdownTable(['', ...rates.map(({ title }) => title)], rows);
}

function latencyTable({ infos, result }: ReportData): string {
  const rows = infos.map((info) => {
    const summary = summarize(result.samples, info.name, 'latency');
    if (summary === null) return [info.title, ...Array.from({ length: 3 }, () => emptyCell(offers(info, metricOf('latency'))))];
    return [info.title, ...[summary.median, summary.p99, summary.max].map(formatNumber)];
  });
  return markdownTable(['', 'median', 'p99', 'longest'], rows);
}

function offers(info: PeerInfo, { capability }: Metric): boolean {
  return capability === null || isOffered(info.capabilities[capability]);
}
