import { type Enqueued, type FleetStatus, type Schedule, mayOperate } from './parts/api-types.js';
import { ROOT, read, taskPath, write } from './parts/api.js';
import { byId, element, renderOnce, setAttribute, setText } from './parts/dom.js';
import { refreshEvery } from './parts/shell/connection.js';
import { useKeys } from './parts/shell/keys.js';
import { startShell } from './parts/shell/shell.js';
import { actionButton } from './parts/ui/action.js';
import { type Outcome, showProblem } from './parts/ui/feedback.js';
import { type Column, KeyedTable } from './parts/ui/keyed-table.js';
import { setTime, timeElement } from './parts/ui/time.js';
import { count, duration, span } from './parts/wording.js';

type Pause = FleetStatus['paused_queues'][number];

const EVERY_MS = 3_000;

/** The page `/schedules`. */
const operates = mayOperate(await startShell());
let pauses: ReadonlyMap<string, Pause> = new Map();
const columns: readonly Column<Schedule>[] = [
  { label: 'Schedule', show: showSchedule },
  { label: 'Task', show: showTask },
  { label: 'Timing', show: (cell, schedule) => showTiming(cell, schedule) },
  { label: 'Next run', show: showNext },
  { label: 'Last run', show: showLast },
  { label: 'Overlap', show: (cell, { overlap }) => setText(cell, overlap === 'skip' ? 'skips the new run' : 'queues the new run') },
  ...(operates ? [{ label: 'Action', show: showAction }] : []),
];
const table = new KeyedTable<Schedule>(byId('schedules', HTMLTableElement), {
  columns,
  key: ({ id }) => id,
  empty: [
    'No schedules. Workers add the built-in ones when they start: ',
    element('code', {}, 'taskfleet worker'),
    '. A service adds its own with ',
    element('code', {}, 'producer.schedules.upsert()'),
    '.',
  ],
});
useKeys({ j: { does: 'Next schedule', run: () => table.step(1) }, k: { does: 'Previous schedule', run: () => table.step(-1) } });
refreshEvery(refresh, EVERY_MS, (error) => showProblem(byId('problem', HTMLElement), error));

async function refresh(): Promise<void> {
  const [{ schedules }, { paused_queues: paused }] = await Promise.all([
    read<{ schedules: Schedule[] }>('schedules'),
    read<FleetStatus>('status'),
  ]);
  pauses = new Map(paused.map((pause) => [pause.name, pause]));
  showProblem(byId('problem', HTMLElement), null);
  table.show(schedules);
  const held = schedules.filter(({ queue }) => queue !== null && pauses.has(queue)).length;
  const failed = schedules.filter(({ last }) => last?.state === 'failed').length;
  const parts = [
    count(schedules.length, 'schedule'),
    failed > 0 ? `${failed} failed last time` : '',
    held > 0 ? `${held} on a paused queue` : '',
  ];
  setText(byId('shown', HTMLElement), parts.filter((part) => part !== '').join(', '));
}

function showSchedule(cell: HTMLElement, { id, built_in: builtIn }: Schedule): void {
  renderOnce(cell, id, () => [element('span', { class: 'name' }, id), builtIn ? element('span', { class: 'soft' }, 'built-in') : null]);
}

function showTask(cell: HTMLElement, { name, item, queue }: Schedule): void {
  renderOnce(cell, [name, item, queue], () =>
    name === null
      ? ['unreadable']
      : [
          element('a', { href: listUrl({ name }) }, name),
          element('span', { class: 'soft' }, item === null ? `queue ${queue ?? '–'}` : `queue ${queue ?? '–'}, item ${item}`),
        ],
  );
}

function showTiming(cell: HTMLElement, { every_ms: everyMs, cron, time_zone: timeZone, jitter_ms: jitterMs, problem }: Schedule): void {
  setAttribute(cell, 'class', problem === null ? null : 'problem');
  if (problem !== null) return setText(cell, problem);
  const times =
    cron === null ? `every ${everyMs === null ? '?' : duration(everyMs)}` : `${cron}${timeZone === null ? '' : ` (${timeZone})`}`;
  setText(cell, jitterMs > 0 ? `${times}, jitter ${span(jitterMs)}` : times);
}

function showNext(cell: HTMLElement, { next_at: nextAt, queue }: Schedule): void {
  const pause = queue === null ? undefined : pauses.get(queue);
  const held = pause && `‖ queue paused${pause.by === null ? '' : ` by ${pause.by}`}`;
  renderOnce(cell, [nextAt === null, held], () => [
    timeElement(nextAt, 'due'),
    held === undefined ? null : element('a', { href: new URL('queues', ROOT).href, class: 'held', 'data-level': 'fair' }, held),
  ]);
  setTime(cell.querySelector('time') as HTMLTimeElement, nextAt);
}

function showLast(cell: HTMLElement, { last_task: task, last }: Schedule): void {
  renderOnce(cell, [task, last], () => {
    if (task === null) return [element('span', { class: 'soft' }, 'never')];
    const link = element('a', { href: new URL(taskPath(task), ROOT).href, class: 'id' }, task);
    if (last === null) return [element('span', { class: 'soft' }, 'ended; not kept'), link];
    const { state, started_at: startedAt, finished_at: finishedAt, error } = last;
    const took = startedAt === null || finishedAt === null ? null : Date.parse(finishedAt) - Date.parse(startedAt);
    return [
      element('span', { class: 'state', 'data-state': state }, state),
      ' ',
      finishedAt === null ? (startedAt === null ? '' : timeElement(startedAt, 'for')) : timeElement(finishedAt),
      took === null ? null : `, took ${span(took)}`,
      error === null || state === 'completed' ? null : element('span', { class: 'line', title: error }, error.split('\n', 1)[0] ?? ''),
      element('span', { class: 'soft' }, link),
    ];
  });
}

function showAction(cell: HTMLElement, { id }: Schedule): void {
  renderOnce(cell, id, () => [actionButton({ label: 'Run now', subject: id, run: () => run(id) })]);
}

async function run(id: string): Promise<Outcome> {
  const { id: task } = await write<Enqueued>(`schedules/${encodeURIComponent(id)}/run`);
  void refresh().catch(() => undefined);
  return [`Enqueued ${id} as task `, element('a', { href: new URL(taskPath(task), ROOT).href, class: 'id' }, task)];
}

function listUrl(query: Readonly<Record<string, string>>): string {
  return new URL(`tasks?${new URLSearchParams({ ...query, state: 'all' }).toString()}`, ROOT).href;
}
