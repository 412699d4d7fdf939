import type { Worker } from '../api-types.js';
import { ROOT, now, taskPath } from '../api.js';
import { element, renderOnce, setAttribute, setText } from '../dom.js';
import type { Column } from '../ui/keyed-table.js';
import { type TimeForm, setTime, timeElement } from '../ui/time.js';
import { duration, latency } from '../wording.js';
import { concernsOf, healthOf, memory } from './worker-state.js';

const NONE = '–';
/** Most tasks in a cell. */
const SHOWN_TASKS = 2;

/** The columns of a live worker. */
export const LIVE_COLUMNS: readonly Column<Worker>[] = [
  { label: 'State', show: showState },
  { label: 'Worker', show: showId },
  {
    label: 'Busy',
    numeric: true,
    show: (cell, { running, slots }) => setText(cell, slots === null ? NONE : `${running.length} / ${slots}`),
  },
  { label: 'Running tasks', show: (cell, worker) => showTasks(cell, worker) },
  { label: 'Queues', show: showQueues },
  { label: 'Memory', numeric: true, show: showMemory },
  { label: 'Loop delay', numeric: true, show: (cell, { loop_delay_ms: ms }) => setText(cell, ms === null ? NONE : latency(ms)) },
  { label: 'Threads', numeric: true, show: (cell, { threads }) => setText(cell, threads === null ? NONE : String(threads)) },
  { label: 'Stop p99', numeric: true, show: showStops },
  { label: 'Version', show: showVersion },
  { label: 'Up', show: (cell, { started_at: startedAt }) => showTime(cell, startedAt, 'for') },
  { label: 'Heartbeat', show: (cell, { beat_at: beatAt }) => showTime(cell, beatAt, 'ago') },
];

/** The columns of a dead worker. */
export const DEAD_COLUMNS: readonly Column<Worker>[] = [
  { label: 'Worker', show: showId },
  { label: 'Last heartbeat', show: (cell, { beat_at: beatAt }) => showTime(cell, beatAt, 'ago') },
  { label: 'Last words', show: (cell, { last_words: words }) => setText(cell, words ?? NONE) },
  { label: 'Ran', show: (cell, worker) => showTasks(cell, worker) },
  { label: 'Was up', show: showLife },
  { label: 'Queues', show: showQueues },
  { label: 'Version', show: showVersion },
];

function showState(cell: HTMLElement, worker: Worker): void {
  const { level, text } = healthOf(worker, now());
  const { drained } = worker;
  const by = drained && `${drained.by === null ? '' : `by ${drained.by}`}${drained.reason === null ? '' : `: ${drained.reason}`}`;
  renderOnce(cell, [level, by, drained?.at], () => [
    element('span', level === 'soft' ? {} : { 'data-level': level }),
    ...(drained === null ? [] : [element('span', { class: 'why' }, timeElement(drained.at), by === null || by === '' ? '' : ` ${by}`)]),
  ]);
  setText(cell.firstElementChild as Element, text);
}

function showId(cell: HTMLElement, worker: Worker): void {
  const { id, alive, host, pid } = worker;
  const concerns = alive ? concernsOf(worker) : [];
  renderOnce(cell, [id, ...concerns].join('\n'), () => [
    element('span', { class: 'id', title: `host ${host ?? NONE}, process ${pid ?? NONE}` }, id),
    ...concerns.map((text) => element('span', { class: 'concern' }, text)),
  ]);
}

function showTasks(cell: HTMLElement, { id, alive, running }: Worker): void {
  renderOnce(cell, running.join(' '), () => {
    if (running.length === 0) return [NONE];
    const links = running
      .slice(0, SHOWN_TASKS)
      .flatMap((task, index) => [
        index > 0 ? ' ' : null,
        element(
          'a',
          { href: new URL(taskPath(task), ROOT).href, class: 'id', title: task },
          task.length > 12 ? `…${task.slice(-8)}` : task,
        ),
      ]);
    if (running.length <= SHOWN_TASKS) return links;
    const more = `and ${running.length - SHOWN_TASKS} more`;
    const list = new URL(`tasks?${new URLSearchParams({ worker: id, state: 'running' }).toString()}`, ROOT).href;
    return [...links, ' ', alive ? element('a', { href: list }, more) : more];
  });
}

function showQueues(cell: HTMLElement, { queues, maintenance }: Worker): void {
  const all = [...queues, ...(maintenance === true ? ['maintenance'] : [])].join(', ');
  setText(cell, all || NONE);
  setAttribute(cell, 'title', all || null);
}

function showMemory(cell: HTMLElement, { memory_bytes: bytes, heap_bytes: heap, heap_limit_bytes: limit }: Worker): void {
  setText(cell, bytes === null ? NONE : memory(bytes));
  setAttribute(cell, 'title', heap === null || limit === null ? null : `heap ${memory(heap)} of ${memory(limit)}`);
}

function showStops(cell: HTMLElement, { stops, stop_p50_ms: p50, stop_p99_ms: p99 }: Worker): void {
  setText(cell, p99 === null ? NONE : latency(p99));
  setAttribute(cell, 'title', stops === null || p50 === null ? null : `${stops} stops, median ${latency(p50)}`);
}

function showVersion(cell: HTMLElement, { version, node, definitions }: Worker): void {
  setText(cell, version ?? NONE);
  setAttribute(cell, 'title', `Node.js ${node ?? NONE}${definitions === null ? '' : `, ${definitions} definitions`}`);
}

function showLife(cell: HTMLElement, { started_at: startedAt, beat_at: beatAt }: Worker): void {
  setText(cell, startedAt === null || beatAt === null ? NONE : duration(Date.parse(beatAt) - Date.parse(startedAt)));
}

function showTime(cell: HTMLElement, iso: string | null, form: TimeForm): void {
  const known = cell.querySelector('time');
  if (known) setTime(known, iso);
  else cell.replaceChildren(timeElement(iso, form));
}
