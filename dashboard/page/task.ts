import { mayOperate, mayStop } from './parts/access.js';
import { ApiError, now, read, taskPath, write } from './parts/api.js';
import type { StateChange, Task } from './parts/api-types.js';
import { attentionOf } from './parts/attention.js';
import { byId, element, moment, setAttribute, setText, showProblem } from './parts/element.js';
import { EventStream } from './parts/event-stream.js';
import { Output } from './output.js';
import { showLink, startShell } from './parts/shell.js';
import { askToStop } from './parts/stop-dialogs.js';
import { Stops } from './parts/stops.js';
import { taskFacts } from './task-facts.js';
import { isTerminal } from './parts/task-set.js';
import { progressOf, receiptOf, receiptText } from './parts/wording.js';

const TICK_MS = 1_000;
const SHOWN_EVENTS = 200;

/** The page `/tasks/<id>`. */
const id = decodeURIComponent(location.pathname.slice(location.pathname.lastIndexOf('/') + 1));
document.title = `${id} · taskfleet`;
setText(byId('title', HTMLElement), id);
const principal = await startShell();
const seesInput = mayOperate(principal) && principal.items === null;
const stops = new Stops(byId('stops', HTMLElement), byId('spoken', HTMLElement));
const output = new Output(byId('output', HTMLElement));
const problem = byId('problem', HTMLElement);
const stopButton = byId('stop', HTMLButtonElement);
const retryButton = byId('retry', HTMLButtonElement);
let task: Task | null = null;
/** Counts renders, to discard responses to older requests. */
let renders = 0;

const events = new EventStream({
  path: `${taskPath(id)}/events`,
  on: {
    snapshot: (seen: Task) => show(seen),
    chunk: ({ chunk }: { chunk: unknown }) => {
      byId('output-section', HTMLElement).hidden = false;
      output.add(chunk);
    },
    progress: ({ progress }: { progress: unknown }, eventId) => {
      if (task) show({ ...task, progress });
      addEvent(eventId, `progress ${progressOf(progress)?.text ?? ''}`);
    },
    state: (change: StateChange, eventId) => void onState(change, eventId),
  },
  onLink: showLink,
});

stopButton.addEventListener(
  'click',
  () => task && void askToStop(task, byId('title', HTMLElement), (reason) => task && stops.stopTask(task, reason)),
);
retryButton.addEventListener('click', () => void retry());
window.setInterval(() => task && showNote(task), TICK_MS);
await start();

async function start(): Promise<void> {
  try {
    // Fetched first: an EventSource does not expose the error response.
    show(await read<Task>(taskPath(id)));
    events.open();
  } catch (error) {
    showProblem(problem, error);
    if (!(error instanceof ApiError && error.status === 404)) window.setTimeout(() => void start(), 3_000);
  }
}

function show(seen: Task): void {
  task = seen;
  renders += 1;
  showProblem(problem, null);
  byId('content', HTMLElement).hidden = false;
  const finished = isTerminal(seen.state);
  setText(byId('state', HTMLElement), seen.state);
  setAttribute(byId('state', HTMLElement), 'data-state', seen.state);
  byId('facts', HTMLElement).replaceChildren(
    ...taskFacts(seen, seesInput).map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value))),
  );
  showProgress(seen.progress);
  showBlock('error', seen.error);
  showBlock('result', seen.result === null ? null : typeof seen.result === 'string' ? seen.result : JSON.stringify(seen.result, null, 2));
  byId('receipt', HTMLElement).hidden = seen.stop === null;
  if (seen.stop) setText(byId('receipt-text', HTMLElement), receiptText(receiptOf(seen)));
  stopButton.hidden = finished || !mayStop(principal);
  stopButton.disabled = seen.state === 'stopping';
  retryButton.hidden = !mayOperate(principal) || !(seen.state === 'failed' || seen.state === 'cancelled');
  showNote(seen);
}

function showNote(seen: Task): void {
  const attention = attentionOf(seen, { now: now(), typical: new Map(), silent: new Set() });
  const note = byId('note', HTMLElement);
  note.hidden = attention === null;
  setText(note, attention === null ? '' : `⚠ ${attention.text}`);
}

function showProgress(value: unknown): void {
  const progress = progressOf(value);
  const bar = byId('bar', HTMLProgressElement);
  byId('progress', HTMLElement).hidden = progress === null;
  bar.hidden = progress?.fraction == null;
  bar.value = progress?.fraction ?? 0;
  setText(byId('progress-text', HTMLElement), progress?.text ?? '');
}

function showBlock(name: 'error' | 'result', text: string | null): void {
  byId(`${name}-section`, HTMLElement).hidden = text === null;
  setText(byId(name, HTMLElement), text ?? '');
}

async function onState({ state, receipt, task: ended }: StateChange, eventId: string): Promise<void> {
  addEvent(eventId, receipt ? `${state}: ${receiptText(receipt)}` : state);
  if (isTerminal(state)) events.close();
  const before = renders;
  const seen = ended ?? (await read<Task>(taskPath(id)).catch(() => task && { ...task, state }));
  if (!seen || (!ended && renders !== before && !isTerminal(state))) return;
  show(seen);
  stops.note(seen);
}

/** Adds an event to the log. Its id starts with its time in ms. */
function addEvent(eventId: string, text: string): void {
  const ms = Number.parseInt(eventId, 10);
  const list = byId('events', HTMLOListElement);
  byId('events-section', HTMLElement).hidden = false;
  list.append(element('li', {}, Number.isNaN(ms) ? '' : moment(new Date(ms).toISOString()), ` ${text}`));
  if (list.childElementCount > SHOWN_EVENTS) list.firstElementChild?.remove();
}

async function retry(): Promise<void> {
  retryButton.disabled = true;
  try {
    show(await write<Task>(`${taskPath(id)}/retry`));
    events.open();
    (stopButton.hidden ? byId('title', HTMLElement) : stopButton).focus();
  } catch (error) {
    showProblem(problem, error);
  } finally {
    retryButton.disabled = false;
  }
}
