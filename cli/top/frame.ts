import type { TaskView } from '../../producer/index.js';
import { QUEUE_COLUMNS } from '../columns/queue-columns.js';
import { WORKER_COLUMNS } from '../columns/worker-columns.js';
import { type Snapshot, clockTime } from '../screen/refresher.js';
import { type Paint, type Tone, toneOf } from '../text/colour.js';
import { type ListColumn, listLines } from '../text/columns.js';
import { oneLine } from '../text/output.js';
import { progressText } from '../text/progress-text.js';
import { cut, formatAge } from '../text/table.js';
import { nameText } from '../text/task-text.js';
import type { FleetStatus } from './fleet-status.js';

const QUEUE_NAMES = ['name', 'state', 'queued', 'in_line', 'running', 'failed', 'in/min', 'out/min', 'oldest', 'workers'];
const WORKER_NAMES = ['id', 'state', 'busy', 'memory', 'delay', 'up'];

const RUNNING_COLUMNS: readonly ListColumn<TaskView>[] = [
  { name: 'task', text: ({ id }) => oneLine(id) },
  { name: 'name', flexible: true, text: nameText },
  { name: 'state', text: ({ state }) => state, tone: ({ state }) => toneOf(state) },
  { name: 'for', numeric: true, text: ({ startedAt }, now) => startedAt && formatAge(now - startedAt.getTime()) },
  { name: 'attempt', numeric: true, text: ({ attempt }) => String(attempt) },
  {
    name: 'progress',
    flexible: true,
    shown: 'filled',
    text: ({ progress }) => (progressText(progress) === '-' ? null : progressText(progress)),
  },
  { name: 'item', flexible: true, shown: 'filled', text: ({ item }) => item && oneLine(item) },
  { name: 'worker', flexible: true, text: ({ worker }) => worker && oneLine(worker) },
];

/** What the screen shows. */
export interface TopView {
  readonly snapshot: Snapshot<FleetStatus>;
  /** Id of the selected task; null if none runs. */
  readonly selected: string | null;
  /** The question or the outcome of the last act; null for the keys. */
  readonly notice: { readonly text: string; readonly tone: Tone | null } | null;
}

interface Size {
  readonly columns: number;
  readonly rows: number;
}

const KEYS = 'j k or ↑ ↓ select   s stop   r refresh   q quit';
/** Lines besides the tables: head, foot and a blank line before each part. */
const FRAME_LINES = 6;
/** Share of the lines for the queues, and for the workers; the tasks have the rest. */
const SHARE = 0.3;

/** Renders the screen: head, queues, workers, running tasks and foot. The tables are cut to fit. */
export function topLines({ snapshot, selected, notice }: TopView, { columns: width, rows }: Size, paint: Paint, now: number): string[] {
  const { value, readAt, stale } = snapshot;
  const body: Paint = stale === null ? paint : (_tone, text) => paint('quiet', text);
  const options = { now, width, paint: body };
  const room = Math.max(6, rows - FRAME_LINES);
  const part = Math.max(2, Math.floor(SHARE * room));
  const queues = value.queues
    ? limited(listLines(QUEUE_COLUMNS, value.queues, { ...options, names: QUEUE_NAMES }), part)
    : ['Queues: not permitted.'];
  const workers = value.workers
    ? limited(listLines(WORKER_COLUMNS, value.workers, { ...options, names: WORKER_NAMES }), part)
    : ['Workers: not permitted.'];
  if (value.workers?.length === 0) workers.push(body('bad', 'No workers.'));
  const tasks = taskLines(value, selected, options, Math.max(2, room - queues.length - workers.length));
  const count = `${value.running.length}${value.isCut ? ' or more' : ''} running`;
  const head =
    stale === null
      ? paint('strong', cut(`taskfleet top  ${clockTime(readAt)}  ${count}`, width))
      : paint('bad', cut(`stale since ${clockTime(readAt)}: ${stale}`, width));
  const foot = notice === null ? paint('quiet', cut(KEYS, width)) : paint(notice.tone, cut(oneLine(notice.text), width));
  const lines = [head, '', ...queues, '', ...workers, '', ...tasks].slice(0, rows - 1);
  return [...lines, ...Array.from({ length: Math.max(0, rows - 1 - lines.length) }, () => ''), foot];
}

function limited(lines: readonly string[], most: number): string[] {
  return lines.length <= most ? [...lines] : [...lines.slice(0, most - 1), `… ${lines.length - most + 1} more`];
}

/** The running tasks around the selected one, which is marked. */
function taskLines(
  { running }: FleetStatus,
  selected: string | null,
  { now, width, paint }: { readonly now: number; readonly width: number; readonly paint: Paint },
  most: number,
): string[] {
  if (running.length === 0) return ['No tasks run.'];
  const place = Math.max(
    0,
    running.findIndex(({ id }) => id === selected),
  );
  const shown = Math.max(1, most - 1);
  const first = Math.min(Math.max(0, place - shown + 1), Math.max(0, running.length - shown));
  const [header = '', ...lines] = listLines(RUNNING_COLUMNS, running.slice(first, first + shown), {
    now,
    width: width - MARK.length,
    paint,
  });
  return [
    ' '.repeat(MARK.length) + header,
    ...lines.map((line, row) => (first + row === place ? paint('strong', MARK) : ' '.repeat(MARK.length)) + line),
  ];
}

const MARK = '> ';
