import type uPlot from 'uplot';
import { ROOT } from './parts/api.js';

export interface ChartLine {
  readonly label: string;
  /** The CSS custom property that holds the colour. */
  readonly colour: string;
  /** Distinguishes lines without relying on colour. */
  readonly stroke: 'solid' | 'dashed' | 'dotted';
}

export interface ChartOptions {
  readonly title: string;
  readonly lines: readonly ChartLine[];
  readonly unit: (value: number) => string;
  /** Whether to draw a point for each value: isolated values have no line. */
  readonly points: boolean;
}

const HEIGHT = 240;
const DASHES: Readonly<Record<ChartLine['stroke'], number[]>> = { solid: [], dashed: [8, 4], dotted: [2, 3] };

/** A time-series chart that follows the page's light or dark theme. */
export class Chart {
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
