import { type StateChange, type Task, mayOperate, mayStop } from './parts/api-types.js';
import { ApiError, EventStream, ROOT, now, read, taskPath, write } from './parts/api.js';
import { attentionOf } from './parts/attention.js';
import { ChunkText } from './parts/chunk-text.js';
import { byId, element, moment, setAttribute, setText, showLink, showProblem, startShell } from './parts/shell.js';
import { askToStop } from './parts/stop-dialogs.js';
import { Stops } from './parts/stops.js';
import { isTerminal } from './parts/task-set.js';
import { attemptOf, nameOf, progressOf, receiptOf, receiptText } from './parts/wording.js';

/** Returns a task's details as terms and values. Its input is on the board, linked for callers that may see it. */
function taskFacts(task: Task, seesInput: boolean): [string, Node | string][] {
  const { id, queue, item, worker, stop, problem } = task;
  const facts: [string, Node | string][] = [
    ['Name', nameOf(task)],
    ['Item', item === null ? '–' : itemLink(item)],
    ['Queue', queue ?? '–'],
    ['Attempt', attemptOf(task)],
    ['Worker', worker ?? '–'],
    ['Enqueued', moment(task.enqueued_at)],
    ['Started', moment(task.started_at)],
    ['Finished', moment(task.finished_at)],
  ];
  if (seesInput && queue !== null)
    facts.push([
      'Input',
      element('a', { href: new URL(`board/queue/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`, ROOT).href }, 'view on the board'),
    ]);
  if (problem !== null) facts.push(['Unreadable', problem]);
  if (stop) facts.push(['Stop requested', moment(stop.at)], ['Stopped by', stop.by ?? '–'], ['Reason', stop.reason ?? '–']);
  return facts;
}

function itemLink(item: string): HTMLElement {
  const url = new URL(ROOT);
  url.searchParams.set('item', item);
  return element('a', { href: url.href }, item);
}

/** Characters of output to keep; older text is dropped. */
const MAX_LENGTH = 400_000;

/** A task's output, written at most once per animation frame. */
class Output {
  readonly #place: HTMLElement;
  readonly #text = document.createTextNode('');
  #chunks = new ChunkText();
  #waiting: string[] = [];
  #cut = false;

  constructor(place: HTMLElement) {
    this.#place = place;
    place.append(this.#text);
  }

  get cut(): boolean {
    return this.#cut;
  }

  add(chunk: unknown): void {
    if (this.#waiting.length === 0) requestAnimationFrame(() => this.#write());
    this.#waiting.push(this.#chunks.add(chunk));
  }

  clear(): void {
    this.#chunks = new ChunkText();
    this.#waiting = [];
    this.#text.data = '';
  }

  #write(): void {
    // Keeps the scroll position of a user who has scrolled up.
    const { scrollTop, clientHeight, scrollHeight } = this.#place;
    const atEnd = scrollTop + clientHeight > scrollHeight - 40;
    this.#text.appendData(this.#waiting.join(''));
    this.#waiting = [];
    if (this.#text.length > MAX_LENGTH) {
      this.#text.deleteData(0, this.#text.length - MAX_LENGTH);
      this.#cut = true;
    }
    if (atEnd) this.#place.scrollTop = this.#place.scrollHeight;
  }
}

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
