import type uPlot from 'uplot';
import type { Stats } from './parts/api-types.js';
import { ROOT, read } from './parts/api.js';
import { byId, element, refreshEvery, setText, showProblem, startShell } from './parts/shell.js';
import { count, latency } from './parts/wording.js';

interface ChartLine {
  readonly label: string;
  /** The CSS custom property that holds the colour. */
  readonly colour: string;
  /** Distinguishes lines without relying on colour. */
  readonly stroke: 'solid' | 'dashed' | 'dotted';
}

interface ChartOptions {
  readonly title: string;
  readonly lines: readonly ChartLine[];
  readonly unit: (value: number) => string;
  /** Whether to draw a point for each value: isolated values have no line. */
  readonly points: boolean;
}

const HEIGHT = 240;
const DASHES: Readonly<Record<ChartLine['stroke'], number[]>> = { solid: [], dashed: [8, 4], dotted: [2, 3] };

/** A time-series chart that follows the page's light or dark theme. */
class Chart {
  readonly #container: HTMLElement;
  readonly #options: ChartOptions;
  #plot: uPlot | null = null;
  #data: uPlot.AlignedData | null = null;

  constructor(container: HTMLElement, options: ChartOptions) {
    this.#container = container;
    this.#options = options;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(container);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void this.#draw());
  }

  /** Draws the data: the times in seconds first, then the values of each line. */
  async show(data: (readonly (number | null)[])[]): Promise<void> {
    this.#data = data as unknown as uPlot.AlignedData;
    if (this.#plot) this.#plot.setData(this.#data);
    else await this.#draw();
  }

  async #draw(): Promise<void> {
    if (this.#data === null) return;
    const { default: Plot } = (await import(new URL('assets/uplot/uPlot.esm.js', ROOT).href)) as { readonly default: typeof uPlot };
    this.#plot?.destroy();
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const { title, lines, unit, points } = this.#options;
    const axis = {
      stroke: colour('--soft'),
      grid: { stroke: colour('--faint'), width: 1 },
      ticks: { stroke: colour('--faint'), width: 1 },
    };
    const series = lines.map((line): uPlot.Series => ({
      ...{ label: line.label, stroke: colour(line.colour), width: 2, dash: DASHES[line.stroke], points: { show: points, size: 5 } },
      value: (_plot, value: number | null) => (value === null ? '–' : unit(value)),
    }));
    const plotOptions: uPlot.Options = {
      ...{ title, ...this.#size() },
      axes: [
        { ...axis, values: (_plot, values) => values.map(clock) },
        { ...axis, size: 70, values: (_plot, values) => values.map((value) => (Number.isInteger(value) || value < 1 ? unit(value) : '')) },
      ],
      series: [{ label: 'Time', value: (_plot, value: number | null) => (value === null ? '–' : clock(value)) }, ...series],
      legend: { markers: { dash: (_plot, index) => lines[index - 1]?.stroke ?? 'solid' } },
      // Keeps an all-zero line at the bottom of the chart.
      scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, (max || 0) * 1.1)] } },
    };
    this.#plot = new Plot(plotOptions, this.#data, this.#container);
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(200, this.#container.clientWidth), height: HEIGHT };
  }
}

function clock(seconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
}

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
