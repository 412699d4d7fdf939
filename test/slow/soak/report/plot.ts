import { FAULT_KINDS, type FaultKind } from '../load/plan.js';
import type { SoakResult } from '../soak.js';
import { type Line, type Panel, panelsOf } from './panels.js';

/** The part of a result in the plot. */
export type Plotted = Pick<SoakResult, 'options' | 'lastedMs' | 'samples' | 'faults' | 'enqueued' | 'audit' | 'growths' | 'problems'>;

const WIDTH = 1_000;
const [LEFT, RIGHT] = [70, 180];
const PLOT_WIDTH = WIDTH - LEFT - RIGHT;
const [HEAD, PANEL_HEIGHT, PANEL_GAP, LANE_HEIGHT, FOOT] = [56, 104, 34, 14, 36];
const LEGEND_LINE = 15;
const MINUTE_MS = 60_000;
const TICKS = 4;
const TIME_STEPS_MS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400].map((seconds) => seconds * 1_000);
const MOST_TIME_TICKS = 12;

/** Has its own background, and follows the reader's choice of a light or dark scheme. */
const STYLE = `
  svg { --ground: #ffffff; --ink: #1f2328; --faint: #59636e; --grid: #d8dee4;
    --c0: #0969da; --c1: #bc4c00; --c2: #1a7f37; --c3: #8250df; --bad: #cf222e }
  @media (prefers-color-scheme: dark) { svg { --ground: #0d1117; --ink: #e6edf3; --faint: #9198a1; --grid: #30363d;
    --c0: #58a6ff; --c1: #f0883e; --c2: #3fb950; --c3: #bc8cff; --bad: #ff7b72 } }
  text { font: 12px system-ui, sans-serif; fill: var(--ink) }
  .title { font-size: 15px; font-weight: 600 } .panel { font-weight: 600 } .small, .tick { fill: var(--faint); font-size: 11px }
  .grid { stroke: var(--grid); stroke-width: 1 } .line { fill: none; stroke-width: 1.5; stroke-linejoin: round; stroke-linecap: round }
  .fault { stroke: var(--faint); stroke-opacity: .22; stroke-width: 1 } .mark { fill: var(--bad) }
  .c0 { stroke: var(--c0) } .c1 { stroke: var(--c1) } .c2 { stroke: var(--c2) } .c3 { stroke: var(--c3) }`;

/** Draws all samples over time, one panel for each unit, and the faults. Returns an SVG document. */
export function plotOf(result: Plotted): string {
  const { options, lastedMs, faults, enqueued, audit, growths, problems } = result;
  const panels = panelsOf(result.samples);
  const kinds = FAULT_KINDS.filter((kind) => faults.some((fault) => fault.kind === kind));
  const lanesTop = HEAD + panels.length * (PANEL_HEIGHT + PANEL_GAP);
  const height = lanesTop + kinds.length * LANE_HEIGHT + FOOT;
  const x = (ms: number): number => LEFT + (PLOT_WIDTH * Math.min(ms, lastedMs)) / lastedMs;
  const title = `Soak: ${trimmed(lastedMs / MINUTE_MS)} min on ${options.topology}, seed ${options.seed}`;
  const verdict = problems.length > 0 ? `not clean (${problems.length})` : `audit clean${growths.length > 0 ? ', nothing grew' : ''}`;
  const about = `${count(enqueued)} tasks, ${count(audit.stopsAcknowledged)} stops, ${faults.length} faults; ${verdict}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}"`,
    `role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<rect width="${WIDTH}" height="${height}" style="fill:var(--ground)"/>`,
    text(LEFT, 22, title, 'title'),
    text(LEFT, 40, about, 'small'),
    ...faults.map(({ atMs }) => `<path class="fault" d="M${at(x(atMs))} ${HEAD}V${lanesTop + kinds.length * LANE_HEIGHT}"/>`),
    ...panels.flatMap((panel, index) => panelParts(panel, HEAD + index * (PANEL_HEIGHT + PANEL_GAP), x)),
    ...kinds.flatMap((kind, index) => laneParts(kind, faults, lanesTop + index * LANE_HEIGHT, x)),
    ...timeParts(lastedMs, lanesTop + kinds.length * LANE_HEIGHT, x),
    '</svg>\n',
  ].join('\n');
}

type Scale = (ms: number) => number;

function panelParts({ title, unit, lines }: Panel, top: number, x: Scale): string[] {
  const values = lines.flatMap(({ runs }) => runs.flat().map(({ value }) => value));
  const step = stepFor(Math.max(1, ...values) / TICKS);
  const highest = step * Math.max(1, Math.ceil(Math.max(0, ...values) / step));
  const [plotTop, bottom] = [top + 18, top + 18 + PANEL_HEIGHT - 8];
  const y = (value: number): number => bottom - ((bottom - plotTop) * value) / highest;
  const ticks = Array.from({ length: Math.round(highest / step) + 1 }, (_, index) => index * step);
  return [
    text(LEFT, top + 10, unit === '' ? title : `${title}, ${unit}`, 'panel'),
    ...ticks.flatMap((value) => [
      `<path class="grid" d="M${LEFT} ${at(y(value))}H${LEFT + PLOT_WIDTH}"/>`,
      text(LEFT - 8, y(value) + 4, count(value), 'tick', 'end'),
    ]),
    ...lines.map(
      ({ color, dashed, runs }) =>
        `<path class="line c${color}"${dashed ? ' stroke-dasharray="4 3"' : ''} d="${runs.map((run) => pathOf(run, x, y)).join('')}"/>`,
    ),
    ...lines.flatMap((line, index) => legend(line, plotTop + 8 + index * LEGEND_LINE)),
  ];
}

function legend({ name, color, dashed }: Line, y: number): string[] {
  const from = LEFT + PLOT_WIDTH + 14;
  return [`<path class="line c${color}"${dashed ? ' stroke-dasharray="4 3"' : ''} d="M${from} ${y}h20"/>`, text(from + 26, y + 4, name)];
}

/** Draws the row of one kind of fault, with a mark for each. */
function laneParts(kind: FaultKind, faults: Plotted['faults'], top: number, x: Scale): string[] {
  const marks = faults
    .filter((fault) => fault.kind === kind)
    .map(({ atMs, untilMs, about }) => {
      const [from, to] = [x(atMs), x(untilMs ?? atMs)];
      const box = `x="${at(from)}" y="${top + 3}" width="${at(Math.max(2, to - from))}" height="${LANE_HEIGHT - 5}"`;
      return `<rect class="mark" ${box}><title>${escaped(about)}</title></rect>`;
    });
  return [...marks, text(LEFT + PLOT_WIDTH + 14, top + 11, `${kind} (${marks.length})`, 'small')];
}

function timeParts(lastedMs: number, y: number, x: Scale): string[] {
  const step = TIME_STEPS_MS.find((ms) => lastedMs / ms <= MOST_TIME_TICKS) ?? Math.ceil(lastedMs / MOST_TIME_TICKS);
  const inMinutes = step >= MINUTE_MS;
  const ticks = Array.from({ length: Math.floor(lastedMs / step) + 1 }, (_, index) => index * step);
  return [
    `<path class="grid" d="M${LEFT} ${y}H${LEFT + PLOT_WIDTH}"/>`,
    ...ticks.map((ms) => text(x(ms), y + 15, trimmed(ms / (inMinutes ? MINUTE_MS : 1_000)), 'tick', 'middle')),
    text(LEFT + PLOT_WIDTH + 14, y + 15, inMinutes ? 'minutes' : 'seconds', 'small'),
  ];
}

function pathOf(run: Line['runs'][number], x: Scale, y: Scale): string {
  const path = run.map(({ atMs, value }, index) => `${index === 0 ? 'M' : 'L'}${at(x(atMs))} ${at(y(value))}`).join('');
  // The round line ends show a single point as a dot.
  return run.length === 1 ? `${path}h0` : path;
}

/** Rounds up to 1, 2 or 5 times a power of ten. */
function stepFor(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  return Math.max(1, power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10));
}

function text(x: number, y: number, content: string, style?: string, anchor?: 'middle' | 'end'): string {
  const attributes = `${style ? ` class="${style}"` : ''}${anchor ? ` text-anchor="${anchor}"` : ''}`;
  return `<text x="${at(x)}" y="${at(y)}"${attributes}>${escaped(content)}</text>`;
}

function at(pixels: number): string {
  return trimmed(pixels);
}

/** Formats a number with at most one decimal. */
function trimmed(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function count(value: number): string {
  return value.toLocaleString('en-US');
}

function escaped(words: string): string {
  return words.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
