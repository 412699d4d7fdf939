import type uPlot from 'uplot';
import { ROOT } from './api.js';

export interface ChartLine {
  readonly label: string;
  /** The custom property of the style sheet that has its colour. */
  readonly colour: string;
  /** Lines differ by more than their colour. */
  readonly stroke: 'solid' | 'dashed' | 'dotted';
}

export interface ChartOptions {
  readonly title: string;
  readonly lines: readonly ChartLine[];
  readonly unit: (value: number) => string;
  /** Each value has a point: it may have no neighbours that a line could lead to. */
  readonly points: boolean;
}

const HEIGHT = 240;
const DASHES: Readonly<Record<ChartLine['stroke'], number[]>> = { solid: [], dashed: [8, 4], dotted: [2, 3] };

/** A chart over time, in the colours of the page, which follow the light. */
export class Chart {
  readonly #place: HTMLElement;
  readonly #options: ChartOptions;
  #plot: uPlot | null = null;
  #data: uPlot.AlignedData | null = null;

  constructor(place: HTMLElement, options: ChartOptions) {
    this.#place = place;
    this.#options = options;
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(place);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void this.#draw());
  }

  /** First the times in seconds, then the values of each line. */
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
      series: [{ label: 'at', value: (_plot, value: number | null) => (value === null ? '–' : clock(value)) }, ...series],
      legend: { markers: { dash: (_plot, index) => lines[index - 1]?.stroke ?? 'solid' } },
      // A quiet hour is a line at the bottom, not one in the middle.
      scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, (max || 0) * 1.1)] } },
    };
    this.#plot = new Plot(plotOptions, this.#data, this.#place);
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(200, this.#place.clientWidth), height: HEIGHT };
  }
}

function clock(seconds: number): string {
  return new Date(seconds * 1_000).toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
}
