import type { TaskPage, TaskView } from '../../../producer/index.js';
import { isTerminal } from '../../../shared/task/state.js';
import { taskToJson } from '../../../shared/task/view.js';
import type { FleetClient } from '../../client/client.js';
import { TASK_COLUMNS } from '../../columns/task-columns.js';
import type { Io } from '../../io.js';
import { untilEnded } from '../../screen/attended.js';
import { Refresher, type Snapshot, clockTime } from '../../screen/refresher.js';
import { Screen } from '../../screen/screen.js';
import { type Paint, paintOf, toneOf } from '../../text/colour.js';
import { type ColumnFlags, listLines } from '../../text/columns.js';
import { oneLine, printData, printLine, say } from '../../text/output.js';
import { progressText } from '../../text/progress-text.js';
import { cut } from '../../text/table.js';
import { nameText } from '../../text/task-text.js';

/** How often the screen is redrawn, so that relative times go on, in ms. */
const TICK_MS = 1_000;
/** Lines of the screen besides the tasks. */
const FRAME_LINES = 4;

interface WatchedList {
  readonly io: Io;
  readonly client: FleetClient;
  readonly flags: ColumnFlags;
  readonly intervalMs: number;
  readonly read: () => Promise<TaskPage>;
}

/** Shows a list of tasks and its changes until the user ends it: redrawn in place on a terminal, else a line for each change. */
export function watchList(list: WatchedList): Promise<void> {
  const { io, flags } = list;
  return untilEnded(io, (signal) => (io.stdout.isTTY && flags.output === 'text' ? redrawList(list, signal) : printChanges(list, signal)));
}

async function redrawList({ io, flags, intervalMs, read }: WatchedList, signal: AbortSignal): Promise<void> {
  const refresher = new Refresher({ read, intervalMs, changed: () => draw() });
  const screen = new Screen(io, () => draw());
  const draw = (): void => {
    const snapshot = refresher.snapshot();
    if (snapshot === null) return;
    screen.open();
    screen.draw(framed(snapshot, { names: flags.columns, ...screen.size, paint: paintOf(io, io.stdout) }));
  };
  const ticking = setInterval(draw, TICK_MS);
  try {
    await refresher.run(signal);
  } finally {
    clearInterval(ticking);
    screen.close();
  }
}

interface Frame {
  readonly names: readonly string[] | undefined;
  readonly columns: number;
  readonly rows: number;
  readonly paint: Paint;
}

/** The lines of the screen: what it shows and since when, then as many tasks as fit. */
function framed({ value: { tasks, next }, readAt, stale }: Snapshot<TaskPage>, { names, columns, rows, paint }: Frame): string[] {
  const body = stale === null ? paint : (_tone: unknown, text: string) => paint('quiet', text);
  const lines = listLines(TASK_COLUMNS, tasks, { names, now: Date.now(), width: columns, paint: body });
  const room = Math.max(1, rows - FRAME_LINES + 1);
  const hidden = Math.max(0, lines.length - room);
  const count = `${tasks.length}${next === null ? '' : ' or more'} ${tasks.length === 1 && next === null ? 'task' : 'tasks'}`;
  const head =
    stale === null ? paint('quiet', cut(`${clockTime(readAt)}  ${count}, Ctrl+C ends`, columns)) : staleLine(readAt, stale, columns, paint);
  return [
    head,
    '',
    ...(tasks.length === 0 ? ['No tasks match.'] : lines.slice(0, room)),
    ...(hidden === 0 ? [] : [cut(`… ${hidden} more`, columns)]),
  ];
}

/** `stale since 14:47:03: Redis at … cannot be reached`. */
export function staleLine(readAt: Date, why: string, columns: number, paint: Paint): string {
  return paint('bad', cut(`stale since ${clockTime(readAt)}: ${why}`, columns));
}

async function printChanges(list: WatchedList, signal: AbortSignal): Promise<void> {
  const { io, intervalMs, read } = list;
  const changes = new Changes(list);
  let stale: string | null = null;
  const refresher = new Refresher({
    read: async () => changes.print((await read()).tasks),
    intervalMs,
    changed: () => {
      const now = refresher.snapshot();
      if (now !== null && now.stale !== stale && now.stale !== null) say(io, `Stale since ${clockTime(now.readAt)}: ${now.stale}`);
      if (now !== null && now.stale === null && stale !== null) say(io, 'Up to date again.');
      stale = now?.stale ?? null;
    },
  });
  await refresher.run(signal);
}

/** Prints the tasks that are new in a list, have changed, or have left it. */
class Changes {
  #known = new Map<string, string>();

  constructor(private readonly list: WatchedList) {}

  async print(tasks: readonly TaskView[]): Promise<void> {
    const { client } = this.list;
    const known = new Map(tasks.map((task) => [task.id, `${task.state} ${task.attempt} ${progressText(task.progress)}`]));
    const gone = [...this.#known.keys()].filter((id) => !known.has(id));
    const left = (await Promise.all(gone.map((id) => client.get(id)))).filter((task) => task !== null && isTerminal(task.state));
    const before = this.#known;
    this.#known = known;
    // Oldest first, as in a log.
    for (const task of [...left, ...tasks.toReversed()]) if (task !== null && known.get(task.id) !== before.get(task.id)) this.#line(task);
  }

  #line(task: TaskView): void {
    const { io, flags } = this.list;
    if (flags.output === 'json') return printData(io, JSON.stringify(taskToJson(task)));
    const { id, state, attempt, progress, item, error } = task;
    const paint = paintOf(io, io.stdout);
    const more = [
      ...(attempt > 1 ? [`attempt ${attempt}`] : []),
      ...(progressText(progress) === '-' ? [] : [progressText(progress)]),
      ...(item === null ? [] : [`item ${oneLine(item)}`]),
      ...(error === null || state === 'cancelled' ? [] : [oneLine(error)]),
    ];
    printLine(io, [new Date().toISOString(), oneLine(id), nameText(task), paint(toneOf(state), state), ...more].join('  '));
  }
}
