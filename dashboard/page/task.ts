import { TaskfleetError } from './client.js';
import { type StateChange, type Task, isTerminal, mayOperate } from './parts/api-types.js';
import { now, read, taskPath } from './parts/api.js';
import { byId, setAttribute, setText } from './parts/dom.js';
import { followEvents } from './parts/shell/connection.js';
import { startShell } from './parts/shell/shell.js';
import { showProblem } from './parts/ui/feedback.js';
import { Tabs } from './parts/ui/tabs.js';
import { progressOf, receiptOf, receiptText } from './parts/wording.js';
import { failureTitle } from './task/attempts/attempt-text.js';
import { AttemptList } from './task/attempts/attempts.js';
import { History } from './task/attempts/history.js';
import { taskFacts } from './task/facts.js';
import { Header } from './task/header.js';
import { InputPanel } from './task/input-panel.js';
import { LogView } from './task/log/log-view.js';
import { Output } from './task/output.js';
import { RelatedPanel } from './task/related-panel.js';
import { ResultPanel } from './task/result-panel.js';

const TICK_MS = 1_000;
/** How often the position in line and the children are read, in ms: they change without an event of the task. */
const QUIET_MS = 3_000;

/** The page `/tasks/<id>`. */
const id = decodeURIComponent(location.pathname.slice(location.pathname.lastIndexOf('/') + 1));
const principal = await startShell();
const problem = byId('problem', HTMLElement);
const output = new Output(byId('output', HTMLElement));
const attempts = new AttemptList(byId('attempts', HTMLElement));
const changes = new History(byId('events', HTMLElement), byId('history-empty', HTMLElement));
const result = new ResultPanel(byId('result', HTMLElement), byId('result-empty', HTMLElement));
const input = mayOperate(principal) ? new InputPanel(id, byId('input', HTMLElement), byId('input-problem', HTMLElement)) : null;
const related = new RelatedPanel(id, {
  table: byId('children', HTMLTableElement),
  parent: byId('parent', HTMLElement),
  count: byId('children-count', HTMLElement),
  note: byId('children-note', HTMLElement),
});
const log = new LogView(id, {
  lines: byId('log', HTMLElement),
  level: byId('log-level', HTMLSelectElement),
  follow: byId('log-follow', HTMLInputElement),
  note: byId('log-note', HTMLElement),
  empty: byId('log-empty', HTMLElement),
});
byId('input-tab', HTMLElement).hidden = input === null;
const tabs = new Tabs(byId('tabs', HTMLElement), onTab);
const header = new Header({ id, principal, input, retried });
let task: Task | null = null;
/** Counts renders, to discard responses to older requests. */
let renders = 0;

const events = followEvents({
  path: `${taskPath(id)}/events`,
  on: {
    snapshot: (seen: Task) => show(seen),
    chunk: ({ chunk }: { chunk: unknown }) => {
      byId('output', HTMLElement).hidden = false;
      byId('output-empty', HTMLElement).hidden = true;
      if (task && !hasFailures(task)) tabs.suggest('output');
      output.add(chunk);
    },
    progress: ({ progress }: { progress: unknown }) => {
      if (task) task = { ...task, progress };
      showProgress(progress);
    },
    state: (change: StateChange) => void onState(change),
  },
});

window.setInterval(tick, TICK_MS);
window.setInterval(() => void readQuietChanges(), QUIET_MS);
await start();

async function start(): Promise<void> {
  try {
    // Fetched first: an EventSource does not expose the error response.
    show(await read<Task>(taskPath(id)));
    events.open();
    await related.refresh();
  } catch (error) {
    showProblem(problem, error);
    if (!(error instanceof TaskfleetError && error.status === 404)) window.setTimeout(() => void start(), 3_000);
  }
}

function show(seen: Task): void {
  task = seen;
  renders += 1;
  showProblem(problem, null);
  byId('content', HTMLElement).hidden = false;
  header.show(seen);
  byId('facts', HTMLElement).replaceChildren(...taskFacts(seen));
  showProgress(seen.progress);
  attempts.show(seen, now());
  byId('attempts-empty', HTMLElement).hidden = (seen.attempts?.length ?? 0) > 0;
  setText(byId('attempts-empty', HTMLElement), seen.attempt === 0 ? 'No attempt has begun.' : 'The attempts were not recorded.');
  result.show(seen);
  if (seen.state === 'completed' && seen.result !== null) tabs.suggest('result');
  else if (!tabs.selected || hasFailures(seen)) tabs.suggest('attempts');
  const error = errorLine(seen);
  byId('error-section', HTMLElement).hidden = error === null;
  setText(byId('error', HTMLElement), error ?? '');
  byId('receipt', HTMLElement).hidden = seen.stop === null;
  if (seen.stop) setText(byId('receipt-text', HTMLElement), receiptText(receiptOf(seen)));
  tick();
}

function hasFailures({ attempts: all }: Task): boolean {
  return all?.some(({ error }) => error !== null) ?? false;
}

/** Returns the error of a task that has failed or will be retried; the list of attempts has its stack and causes. */
function errorLine({ attempts: all, error }: Task): string | null {
  const failure = all?.at(-1)?.error;
  return error !== null && failure ? failureTitle(failure) : error;
}

function onTab(name: string): void {
  if (name === 'logs') log.open();
  if (name === 'input') void input?.open();
  if (name === 'children') void related.refresh().catch(() => undefined);
}

async function readQuietChanges(): Promise<void> {
  if (document.hidden || task === null) return;
  if (!isTerminal(task.state) && !byId('children-panel', HTMLElement).hidden) await related.refresh().catch(() => undefined);
  // A pause of its queue, or a move in a line, is no event of the task.
  if (!['queued', 'scheduled', 'retrying'].includes(task.state)) return;
  const before = renders;
  const seen = await read<Task>(taskPath(id)).catch(() => null);
  if (seen && renders === before) show(seen);
}

function tick(): void {
  attempts.tick(now());
  header.tick();
}

function showProgress(value: unknown): void {
  const progress = progressOf(value);
  const bar = byId('bar', HTMLProgressElement);
  byId('progress', HTMLElement).hidden = progress === null;
  bar.hidden = progress?.fraction == null;
  setAttribute(bar, 'value', String(progress?.fraction ?? 0));
  setText(byId('progress-text', HTMLElement), progress?.text ?? '');
}

async function onState(change: StateChange): Promise<void> {
  const { state, task: ended } = change;
  changes.add(change);
  if (isTerminal(state)) events.close();
  const before = renders;
  // The task in the event has no stacks: it is sent to callers of every role.
  const known = mayOperate(principal) ? null : ended;
  const seen = known ?? (await read<Task>(taskPath(id)).catch(() => ended ?? (task && { ...task, state })));
  if (!seen || (renders !== before && !isTerminal(state))) return;
  show(seen);
  if (isTerminal(state)) await related.refresh().catch(() => undefined);
}

function retried(seen: Task): void {
  show(seen);
  events.open();
  log.reopen();
}
