import type { Row } from '../harness/suite.js';
import { CURVES, type Column, MOST_PROCESSES, rowName, valueOf } from './curves.js';

const WIDTH = 940;
const [LEFT, RIGHT] = [64, 250];
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const [HEAD, PANEL_HEIGHT, PANEL_GAP, FOOT] = [36, 190, 56, 44];
const TICKS = 4;

/** Two panels, one below the other, over the number of processes. */
const PANELS: readonly { readonly title: string; readonly column: Column }[] = [
  { title: 'tasks a second', column: 'tasks/s' },
  { title: 'CPU of the busiest redis-server, % of the time that it may run', column: '% of its time' },
];

/** Has its own background, and follows the reader's choice of a light or dark scheme. */
const STYLE = `
  svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --grid: #d8dee4; --c0: #0969da; --c1: #bc4c00; --c2: #8250df; --c3: #1a7f37 }
  @media (prefers-color-scheme: dark) { svg { --ground: #0d1117; --ink: #e6edf3; --faint: #9198a1; --grid: #30363d;
    --c0: #58a6ff; --c1: #f0883e; --c2: #bc8cff; --c3: #3fb950 } }
  text { font: 12px system-ui, sans-serif; fill: var(--ink) } .panel { font-weight: 600 } .tick { fill: var(--faint); font-size: 11px }
  .grid { stroke: var(--grid); stroke-width: 1 } .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round }
  ${CURVES.map((_, index) => `.c${index} { stroke: var(--c${index}) } .dot${index} { fill: var(--c${index}) }`).join(' ')}`;

/** Draws the curves of the scaling benchmark. Returns an SVG document. */
export function plotScaling(rows: readonly Row[]): string {
  const height = HEAD + PANELS.length * PANEL_HEIGHT + (PANELS.length - 1) * PANEL_GAP + FOOT;
  const title = 'Worker processes on one Redis and on a cluster';
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${title}">`,
    `<style>${STYLE}\n</style>`,
    `<rect width="${WIDTH}" height="${height}" style="fill:var(--ground)"/>`,
    ...PANELS.flatMap((panel, index) => panelParts(rows, panel, HEAD + index * (PANEL_HEIGHT + PANEL_GAP))),
    text(LEFT + PLOT_WIDTH / 2, height - 6, 'worker processes', 'tick', 'middle'),
    '</svg>\n',
  ].join('\n');
}

function panelParts(rows: readonly Row[], { title, column }: (typeof PANELS)[number], top: number): string[] {
  const curves = CURVES.map(({ name }) =>
    Array.from({ length: MOST_PROCESSES }, (_, index) => ({
      processes: index + 1,
      value: valueOf(rows, rowName(name, index + 1), column),
    })).filter(({ value }) => Number.isFinite(value)),
  );
  const step = stepFor(Math.max(1, ...curves.flat().map(({ value }) => value)) / TICKS);
  const highest = step * Math.ceil(Math.max(1, ...curves.flat().map(({ value }) => value)) / step);
  const x = (processes: number): number => LEFT + (PLOT_WIDTH * processes) / MOST_PROCESSES;
  const y = (value: number): number => top + PANEL_HEIGHT * (1 - value / highest);
  const ticks = Array.from({ length: Math.round(highest / step) + 1 }, (_, index) => index * step);
  return [
    text(LEFT, top - 12, title, 'panel'),
    ...ticks.flatMap((value) => [
      `<path class="grid" d="M${LEFT} ${at(y(value))}H${LEFT + PLOT_WIDTH}"/>`,
      text(LEFT - 8, y(value) + 4, value.toLocaleString('en-US'), 'tick', 'end'),
    ]),
    ...Array.from({ length: MOST_PROCESSES + 1 }, (_, processes) =>
      text(x(processes), top + PANEL_HEIGHT + 16, String(processes), 'tick', 'middle'),
    ),
    ...curves.flatMap((points, index) => [
      `<path class="line c${index}" d="M${points.map(({ processes, value }) => `${at(x(processes))} ${at(y(value))}`).join('L')}"/>`,
      ...points.map(({ processes, value }) => `<circle class="dot${index}" cx="${at(x(processes))}" cy="${at(y(value))}" r="3"/>`),
      `<path class="line c${index}" d="M${LEFT + PLOT_WIDTH + 12} ${top + 12 + index * 18}h18"/>`,
      text(LEFT + PLOT_WIDTH + 36, top + 16 + index * 18, CURVES[index]?.name ?? ''),
    ]),
  ];
}

/** Rounds up to 1, 2 or 5 times a power of ten. */
function stepFor(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

function text(x: number, y: number, content: string, style?: string, anchor?: 'middle' | 'end'): string {
  return `<text x="${at(x)}" y="${at(y)}"${style ? ` class="${style}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}>${content}</text>`;
}

function at(pixels: number): string {
  return String(Math.round(pixels * 10) / 10);
}
