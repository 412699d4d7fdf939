import type { History } from '../api-types.js';
import { byId, element, setText } from '../dom.js';
import { type Column, KeyedTable } from '../ui/keyed-table.js';
import { exactTime } from '../ui/time.js';
import { count } from '../wording.js';
import { Chart, type ChartLine, type TimeFormat } from './chart.js';
import { NONE, rateText, timeText } from './figures.js';
import { partsOf, showCount } from './link.js';

type Point = History['points'][number];
type Name = History['names'][number];
type Range = History['range'];

const RANGES: Readonly<Record<Range, string>> = { '1h': 'the last hour', '24h': 'the last 24 hours', '7d': 'the last 7 days' };
const HOURS: TimeFormat = { hour: '2-digit', minute: '2-digit' };
const DAYS: TimeFormat = { weekday: 'short', day: 'numeric' };
const PERCENTILES: readonly ChartLine[] = [
  { label: 'p50', colour: 'accent', stroke: 'solid' },
  { label: 'p95', colour: 'fair', stroke: 'dashed' },
];
const OUTCOMES: readonly (ChartLine & { readonly label: 'completed' | 'failed' | 'cancelled' })[] = [
  { label: 'completed', colour: 'good', stroke: 'solid' },
  { label: 'failed', colour: 'bad', stroke: 'dashed' },
  { label: 'cancelled', colour: 'fair', stroke: 'dotted' },
];

/** Shows a history: charts, the same values as a table, and the figures of each task name. */
export class Past {
  readonly #rates: Chart;
  readonly #durations: readonly { readonly chart: Chart; readonly of: 'run' | 'wait' | 'stop' }[];
  readonly #names: KeyedTable<Name>;
  #chosen: string | null = null;
  #range: Range = '1h';

  /** @param choose called with the task name that the user has chosen in the table */
  constructor(private readonly choose: (name: string) => void) {
    this.#rates = new Chart(addChart('Finished tasks'), { title: 'Finished per minute', lines: OUTCOMES, unit: rateText });
    this.#durations = (['run', 'wait', 'stop'] as const).map((of) => {
      const title = { run: 'Run time', wait: 'Wait to start', stop: 'Stop latency' }[of];
      return { of, chart: new Chart(addChart(title), { title, lines: PERCENTILES, unit: timeText }) };
    });
    this.#names = new KeyedTable(byId('names', HTMLTableElement), {
      columns: this.#columns(),
      key: ({ name }) => name,
      empty: '',
      mark: (row, { name }) => row.toggleAttribute('data-chosen', name === this.#chosen),
    });
  }

  async show(history: History): Promise<void> {
    const { range, name, names, points, total } = history;
    this.#chosen = name;
    this.#range = range;
    const isEmpty = names.length === 0;
    byId('charts', HTMLElement).hidden = isEmpty;
    byId('values', HTMLElement).hidden = isEmpty;
    this.#showNothing(isEmpty);
    setText(byId('total', HTMLElement), isEmpty ? '' : totalText(history, total));
    this.#names.show(names);
    if (isEmpty) return;
    showPoints(points);
    const times = points.map(({ at }) => Date.parse(at) / 1_000);
    const format = range === '7d' ? DAYS : HOURS;
    const rates = OUTCOMES.map(({ label }) => points.map((point) => rateOf(point, label)));
    await this.#rates.show([times, ...rates], format);
    for (const { chart, of } of this.#durations) {
      const values = (['p50', 'p95'] as const).map((percentile) => points.map((point) => point[`${of}_${percentile}_ms`]));
      await chart.show([times, ...values], format);
    }
  }

  /** Says that nothing ended, and what to do next. */
  #showNothing(isEmpty: boolean): void {
    const nothing = byId('nothing', HTMLElement);
    nothing.hidden = !isEmpty;
    if (!isEmpty || nothing.dataset['range'] === this.#range) return;
    nothing.dataset['range'] = this.#range;
    nothing.replaceChildren(
      `No task ended in ${RANGES[this.#range]}. ${this.#range === '7d' ? '' : 'Choose a longer range, or start one: '}`,
      element('code', {}, `taskfleet task enqueue fleet.canary --input '{"run_ms":1000}'`),
    );
  }

  #columns(): Column<Name>[] {
    const text = (label: string, of: (name: Name) => string): Column<Name> => ({
      ...{ label, numeric: true },
      show: (cell, name) => setText(cell, of(name)),
    });
    const tasks = (label: string, state: string, of: (name: Name) => number): Column<Name> => ({
      ...{ label, numeric: true },
      show: (cell, name) => showCount(cell, of(name), { state, name: name.name, finished_after: this.#range }),
    });
    return [
      { label: 'Task', show: (cell, { name }) => this.#showName(cell, name) },
      text('Per minute', ({ per_minute: rate }) => (rate === null ? NONE : rateText(rate))),
      tasks('Completed', 'completed', ({ completed }) => completed),
      tasks('Failed', 'failed', ({ failed }) => failed),
      tasks('Cancelled', 'cancelled', ({ cancelled }) => cancelled),
      ...(['run', 'wait', 'stop'] as const).map((of) =>
        text({ run: 'Run p50 / p95', wait: 'Wait p50 / p95', stop: 'Stop p50 / p95' }[of], (name) =>
          name[`${of}_p50_ms`] === null ? NONE : `${timeText(name[`${of}_p50_ms`])} / ${timeText(name[`${of}_p95_ms`])}`,
        ),
      ),
    ];
  }

  #showName(cell: HTMLElement, name: string): void {
    const [button] = partsOf(
      cell,
      () =>
        [
          element('button', { type: 'button', class: 'link', title: `Show the charts of ${name}`, click: () => this.choose(name) }),
        ] as const,
    );
    setText(button, name);
    button.setAttribute('aria-pressed', String(name === this.#chosen));
  }
}

function addChart(title: string): HTMLElement {
  const place = element('section', { class: 'chart live', 'aria-label': `${title}: a chart; the table below it has the same values` });
  byId('charts', HTMLElement).append(place);
  return place;
}

function totalText({ range, name }: History, { completed, failed, cancelled, skipped, per_minute: rate }: History['total']): string {
  const parts = [
    count(completed + failed + cancelled + skipped, 'task'),
    `${failed.toLocaleString('en')} failed`,
    rate === null ? '' : `${rateText(rate)} per minute`,
  ].filter((part) => part !== '');
  return `${name === null ? '' : `${name}: `}${parts.join(', ')} in ${RANGES[range]}`;
}

function showPoints(points: readonly Point[]): void {
  const rows = points.toReversed().map((point) => {
    const { at, per_minute: rate, completed, failed, cancelled, skipped } = point;
    const durations = [point.run_p50_ms, point.run_p95_ms, point.wait_p50_ms, point.wait_p95_ms, point.stop_p50_ms, point.stop_p95_ms];
    const values = [rate === null ? NONE : rateText(rate), completed, failed, cancelled, skipped, ...durations.map(timeText)];
    return element(
      'tr',
      {},
      element('th', { scope: 'row' }, exactTime(at)),
      ...values.map((value) => element('td', { class: 'number' }, value.toLocaleString('en'))),
    );
  });
  byId('points', HTMLTableSectionElement).replaceChildren(...rows);
}

/** Returns the share of an outcome in the rate of a point, which the server computes from the part of the slot that has passed. */
function rateOf(point: Point, outcome: 'completed' | 'failed' | 'cancelled'): number | null {
  const { completed, failed, cancelled, skipped, per_minute: rate } = point;
  return rate === null ? null : (rate * point[outcome]) / Math.max(1, completed + failed + cancelled + skipped);
}
