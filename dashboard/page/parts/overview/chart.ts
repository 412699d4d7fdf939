import type uPlot from 'uplot';
import { ROOT } from '../api.js';
import { element } from '../dom.js';
import { NONE } from './figures.js';

export interface ChartLine {
  readonly label: string;
  /** The colour, by its name in css/tokens.css. */
  readonly colour: 'accent' | 'good' | 'fair' | 'bad';
  /** Distinguishes lines without relying on colour. */
  readonly stroke: 'solid' | 'dashed' | 'dotted';
}

export interface ChartOptions {
  readonly title: string;
  readonly lines: readonly ChartLine[];
  readonly unit: (value: number) => string;
}

/** The times in seconds first, then the values of each line. */
export type ChartData = readonly (readonly (number | null)[])[];

/** The format of the times of the axis. */
export type TimeFormat = Readonly<Intl.DateTimeFormatOptions>;

const HEIGHT = 170;
const AXIS_PX = 64;
const DASHES: Readonly<Record<ChartLine['stroke'], number[]>> = { solid: [], dashed: [8, 4], dotted: [2, 3] };
const LEGEND = new Intl.DateTimeFormat('en-GB', { weekday: 'short', hour: '2-digit', minute: '2-digit' });

/** A time-series chart that follows the page's light or dark theme. */
export class Chart {
  #plot: uPlot | null = null;
  #data: uPlot.AlignedData | null = null;
  #axis = new Intl.DateTimeFormat();

  constructor(
    private readonly container: HTMLElement,
    private readonly options: ChartOptions,
  ) {
    const keys = options.lines.map(({ label, colour, stroke }) => element('span', { 'data-line': stroke, 'data-colour': colour }, label));
    container.append(element('h3', {}, options.title, ...keys));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(container);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => void this.#draw());
  }

  async show(data: ChartData, format: TimeFormat): Promise<void> {
    this.#data = data as unknown as uPlot.AlignedData;
    this.#axis = new Intl.DateTimeFormat('en-GB', format);
    if (this.#plot) this.#plot.setData(this.#data);
    else await this.#draw();
  }

  async #draw(): Promise<void> {
    if (this.#data === null) return;
    const { default: Plot } = (await import(new URL('assets/uplot/uPlot.esm.js', ROOT).href)) as { readonly default: typeof uPlot };
    this.#plot?.destroy();
    this.#plot = new Plot(this.#plotOptions(), this.#data, this.container);
  }

  #plotOptions(): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    const { lines, unit } = this.options;
    const line = { stroke: colour('--faint'), width: 1 };
    const axis = { stroke: colour('--soft'), grid: line, ticks: line, font: '12px system-ui, sans-serif' };
    const text = (format: (value: number) => string) => (_plot: uPlot, value: number | null) => (value === null ? NONE : format(value));
    return {
      ...this.#size(),
      axes: [
        { ...axis, space: 60, values: (_plot, values) => values.map((value) => this.#axis.format(value * 1_000)) },
        { ...axis, size: AXIS_PX, space: 30, values: (_plot, values) => values.map((value) => unit(value)) },
      ],
      series: [
        { label: 'Time', value: text((value) => LEGEND.format(value * 1_000)) },
        // Isolated values have no line: points show them.
        ...lines.map((one): uPlot.Series => ({
          ...{ label: one.label, stroke: colour(`--${one.colour}`), width: 2, dash: DASHES[one.stroke] },
          ...{ points: { show: isIsolated, size: 5 }, value: text(unit) },
        })),
      ],
      legend: { markers: { dash: (_plot, index) => lines[index - 1]?.stroke ?? 'solid' } },
      // Keeps an all-zero line at the bottom of the chart.
      scales: { y: { range: (_plot, _min, max) => [0, Math.max(1, (max || 0) * 1.1)] } },
    };
  }

  #size(): { width: number; height: number } {
    return { width: Math.max(200, this.container.clientWidth), height: HEIGHT };
  }
}

/** Shows the points of a line that lacks most of its values. */
function isIsolated(plot: uPlot, index: number): boolean {
  const values = plot.data[index] as (number | null)[];
  return values.filter((value) => value !== null).length < values.length / 2;
}
