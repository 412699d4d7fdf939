import type { LogLine } from '../../parts/api-types.js';
import { EventStream, type LinkState, taskPath } from '../../parts/api.js';
import { element, setText } from '../../parts/dom.js';
import { count } from '../../parts/wording.js';
import { LEVELS, errorText, fieldsText, isShown, missingBefore, stackIn, timeOfDay } from './log-text.js';

/** Lines to show; older ones are removed. */
const MAX_LINES = 1_000;

interface LogElements {
  readonly lines: HTMLElement;
  readonly level: HTMLSelectElement;
  readonly follow: HTMLInputElement;
  readonly note: HTMLElement;
  readonly empty: HTMLElement;
}

const LINKS: Readonly<Record<LinkState, string>> = {
  connecting: 'connecting …',
  live: 'live',
  lost: 'reconnecting …',
  ended: '',
};

/** The log of a task, followed live once it is opened. */
export class LogView {
  readonly #stream: EventStream;
  readonly #waiting: LogLine[] = [];
  #opened = false;
  /** The number of the last line; 0 before the first. */
  #last = 0;
  /** Lines that are not shown: dropped by the server, or removed here. */
  #dropped = 0;
  #link: LinkState = 'connecting';

  constructor(
    id: string,
    private readonly elements: LogElements,
  ) {
    const { lines, level, follow } = elements;
    level.append(
      ...LEVELS.map((name) =>
        element('option', { value: name, selected: name === 'trace' }, name === 'trace' ? 'all' : `${name} and above`),
      ),
    );
    level.addEventListener('change', () => this.#filter());
    follow.addEventListener('change', () => this.#scroll());
    lines.addEventListener('scroll', () => {
      follow.checked = lines.scrollTop + lines.clientHeight > lines.scrollHeight - 40;
    });
    this.#stream = new EventStream({
      path: `${taskPath(id)}/logs`,
      on: { line: (line: LogLine) => this.#add(line), end: () => this.#stream.close() },
      onLink: (state) => this.#showNote(state),
    });
  }

  /** Follows the log, if that has not begun. */
  open(): void {
    if (this.#opened) return this.#scroll();
    this.#opened = true;
    this.#stream.open();
  }

  /** Follows the log of a retried task, if it was followed before. */
  reopen(): void {
    if (this.#opened) this.#stream.open();
  }

  #add(line: LogLine): void {
    if (this.#waiting.length === 0) requestAnimationFrame(() => this.#write());
    this.#waiting.push(line);
  }

  #write(): void {
    const { lines, level } = this.elements;
    for (const line of this.#waiting.splice(0)) {
      this.#dropped += missingBefore(line.seq, this.#last);
      this.#last = line.seq;
      lines.append(lineElement(line, isShown(line.level, level.value)));
    }
    while (lines.childElementCount > MAX_LINES) {
      lines.firstElementChild?.remove();
      this.#dropped += 1;
    }
    this.#showNote(this.#link);
    this.#scroll();
  }

  #filter(): void {
    const { lines, level } = this.elements;
    for (const line of lines.children) (line as HTMLElement).hidden = !isShown(line.getAttribute('data-level'), level.value);
    this.#scroll();
  }

  #scroll(): void {
    const { lines, follow } = this.elements;
    if (follow.checked) lines.scrollTop = lines.scrollHeight;
  }

  #showNote(link: LinkState): void {
    this.#link = link;
    const { note, empty, lines } = this.elements;
    const dropped = this.#dropped === 0 ? '' : `${count(this.#dropped, 'older line was', 'older lines were')} dropped`;
    setText(note, [LINKS[link], dropped].filter(Boolean).join(' · '));
    empty.hidden = lines.childElementCount > 0 || link === 'connecting';
    lines.hidden = lines.childElementCount === 0;
  }
}

function lineElement(line: LogLine, shown: boolean): HTMLElement {
  const { at, level, attempt, message } = line;
  const error = errorText(line.fields);
  const fields = fieldsText(line.fields);
  const stack = stackIn(line.fields);
  return element(
    'li',
    { 'data-level': level ?? 'info', hidden: !shown },
    element('time', { class: 'soft', datetime: at ?? '', title: at ?? '' }, at === null ? '' : timeOfDay(at)),
    ' ',
    element('span', { class: 'level' }, (level ?? '').padEnd(5)),
    attempt === null ? null : element('span', { class: 'soft', title: `Attempt ${attempt}` }, ` [${attempt}]`),
    ` ${message}`,
    error === null ? null : element('span', { class: 'thrown' }, ` ${error}`),
    fields === '' ? null : element('span', { class: 'soft' }, ` ${fields}`),
    stack === null ? null : element('details', {}, element('summary', {}, 'Stack'), element('pre', { tabindex: 0 }, stack)),
  );
}
