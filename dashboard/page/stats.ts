import { read } from './parts/api.js';
import type { Stats } from './parts/api-types.js';
import { Chart, type ChartLine } from './chart.js';
import { byId, element, setText, showProblem } from './parts/element.js';
import { refreshEvery, startShell } from './parts/shell.js';
import { count, latency } from './parts/wording.js';

type Minute = Stats['minutes'][number];

const EVERY_MS = 10_000;
const OUTCOMES: readonly ChartLine[] = [
  { label: 'completed', colour: '--good', stroke: 'solid' },
  { label: 'failed', colour: '--bad', stroke: 'dashed' },
  { label: 'cancelled', colour: '--fair', stroke: 'dotted' },
];
const LATENCIES: readonly ChartLine[] = [
  { label: 'p50', colour: '--accent', stroke: 'solid' },
  { label: 'p99', colour: '--fair', stroke: 'dashed' },
];

/** The page `/stats`: throughput and stop latency. */
const principal = await startShell();
const minutes = byId('minutes', HTMLSelectElement);

if (principal.items !== null)
  showProblem(byId('problem', HTMLElement), new Error('Statistics cover all tasks, but your access is limited to certain items.'));
else {
  const outcomes = new Chart(byId('outcomes', HTMLElement), {
    title: 'Finished tasks per minute',
    lines: OUTCOMES,
    unit: String,
    points: false,
  });
  const latencies = new Chart(byId('latencies', HTMLElement), {
    title: 'Stop latency',
    lines: LATENCIES,
    unit: latency,
    points: true,
  });
  const refresh = async (): Promise<void> => {
    const stats = await read<Stats>(`stats?minutes=${minutes.value}`);
    const at = stats.minutes.map((minute) => Date.parse(minute.at) / 1_000);
    await outcomes.show([
      at,
      ...(['completed', 'failed', 'cancelled'] as const).map((name) => stats.minutes.map((minute) => minute[name])),
    ]);
    await latencies.show([at, ...(['stop_p50_ms', 'stop_p99_ms'] as const).map((name) => stats.minutes.map((minute) => minute[name]))]);
    showSummary(stats.minutes);
    showTable(stats.minutes);
  };
  byId('statistics', HTMLElement).hidden = false;
  minutes.addEventListener('change', () => void refresh());
  refreshEvery(refresh, EVERY_MS);
}

function showSummary(all: readonly Minute[]): void {
  const sum = (name: 'completed' | 'failed' | 'cancelled'): string =>
    `${all.reduce((total, minute) => total + minute[name], 0).toLocaleString('en')} ${name}`;
  setText(byId('shown', HTMLElement), `${count(all.length, 'minute')}: ${sum('completed')}, ${sum('failed')}, ${sum('cancelled')}`);
}

/** Fills the table with the data of the charts. */
function showTable(all: readonly Minute[]): void {
  const time = (ms: number | null): string => (ms === null ? '–' : latency(ms));
  const rows = all.toReversed().map((minute) => {
    const values = [minute.completed, minute.failed, minute.cancelled, time(minute.stop_p50_ms), time(minute.stop_p99_ms)];
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, new Date(minute.at).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })),
      ...values.map((value) => element('td', {}, String(value))),
    );
  });
  byId('rows', HTMLTableSectionElement).replaceChildren(...rows);
}
