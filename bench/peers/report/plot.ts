import { type PeerInfo, isOffered } from '../compared/peer.js';
import type { RoundsResult } from '../run/rounds.js';
import { emptyCell, formatNumber } from './format.js';
import { type Metric, jobOf, metricOf } from './metrics.js';
import { type Sample, type Summary, summarize } from './statistics.js';

/** The panels, two in a row. */
const PANELS = [
  ...['enqueue.alone', 'enqueue.callers', 'enqueue.bulk', 'process.noop', 'process.sleep', 'latency'],
  ...['stop.waiting.settled', 'stop.running.told', 'stop.running.settled', 'stop.cpu.released'],
];
const WIDTH = 960;
const PANEL_WIDTH = WIDTH / 2;
const ROW = 20;
const HEAD = 46;
const BAR = { left: 130, width: 230 };
const COLORS = { ours: '#0f766e', other: '#94a3b8', range: '#334155', text: '#0f172a', quiet: '#64748b' };

/** Returns the medians and ranges as an SVG image: bars for rates, on a linear scale; bars for times, on a logarithmic one. */
export function plotOf(infos: readonly PeerInfo[], { jobs, samples }: RoundsResult): string {
  const panelHeight = HEAD + infos.length * ROW + 14;
  const measured = PANELS.filter((id) => jobs.includes(jobOf(metricOf(id).section)));
  const panels = measured.map((id, index) => {
    const [x, y] = [(index % 2) * PANEL_WIDTH, Math.floor(index / 2) * panelHeight];
    return `<g transform="translate(${x},${y})">${panel(metricOf(id), infos, samples)}</g>`;
  });
  const height = Math.ceil(measured.length / 2) * panelHeight;
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${height}" viewBox="0 0 ${WIDTH} ${height}" ` +
    `font-family="system-ui, sans-serif" font-size="12" role="img" aria-label="Benchmark results">\n` +
    `<rect width="100%" height="100%" fill="#fff"/>\n${panels.join('\n')}\n</svg>\n`
  );
}

function panel(metric: Metric, infos: readonly PeerInfo[], samples: readonly Sample[]): string {
  const summaries = infos.map((info) => summarize(samples, info.name, metric.id));
  const scale = scaleOf(
    metric,
    summaries.filter((summary) => summary !== null),
  );
  const rows = infos.map((info, index) => row(info, summaries[index] ?? null, metric, scale, HEAD + index * ROW));
  const unit = metric.unit === 'ms' ? 'ms, logarithmic, less is better' : `${metric.unit}, more is better`;
  return (
    `<text x="14" y="22" font-weight="600" fill="${COLORS.text}">${escaped(`${metric.section}: ${metric.title}`)}</text>` +
    `<text x="14" y="37" font-size="10" fill="${COLORS.quiet}">${unit}</text>${rows.join('')}`
  );
}

function row(info: PeerInfo, summary: Summary | null, metric: Metric, scale: (value: number) => number, y: number): string {
  const isOurs = info.name === 'taskfleet';
  const label = `<text x="${BAR.left - 8}" y="${y + 14}" text-anchor="end" fill="${COLORS.text}">${escaped(info.title)}</text>`;
  if (summary === null) {
    const offered = metric.capability === null || isOffered(info.capabilities[metric.capability]);
    return `${label}<text x="${BAR.left}" y="${y + 14}" font-size="10" fill="${COLORS.quiet}">${emptyCell(offered)}</text>`;
  }
  const [median, min, max] = [summary.median, summary.min, summary.max].map((value) => BAR.left + scale(value)) as [number, number, number];
  return (
    `${label}<rect x="${BAR.left}" y="${y + 4}" width="${fixed(median - BAR.left)}" height="12" ` +
    `fill="${isOurs ? COLORS.ours : COLORS.other}"/>` +
    `<line x1="${fixed(min)}" x2="${fixed(max)}" y1="${y + 10}" y2="${y + 10}" stroke="${COLORS.range}"/>` +
    `<text x="${fixed(Math.max(median, max) + 6)}" y="${y + 14}" font-size="10" fill="${COLORS.text}">${formatNumber(summary.median)}</text>`
  );
}

/** Maps values to pixels: rates from 0, times from the power of ten below the shortest. */
function scaleOf({ unit }: Metric, summaries: readonly Summary[]): (value: number) => number {
  const max = Math.max(...summaries.map((summary) => summary.max));
  if (unit !== 'ms') return (value) => (value / max) * BAR.width;
  const low = Math.floor(Math.log10(Math.min(...summaries.map(({ min }) => Math.max(min, 0.01)))));
  const high = Math.log10(max);
  return (value) => ((Math.log10(Math.max(value, 0.01)) - low) / (high - low)) * BAR.width;
}

function fixed(value: number): string {
  return value.toFixed(1);
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
