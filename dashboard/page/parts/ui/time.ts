import { now } from '../api.js';
import { element, setAttribute, setText } from '../dom.js';
import { ago, dueIn, duration } from '../wording.js';

/**
 * How a time is written: `ago` for the past (`4 min ago`), `due` for the future (`in 42 s`, `now`), `for` as the time since then
 * (`4 min`), `clock` as the time of day.
 */
export type TimeForm = 'ago' | 'due' | 'for' | 'clock';

const NONE = '–';
const EVERY_MS = 1_000;

const exactly = new Intl.DateTimeFormat('sv-SE', {
  ...{ year: 'numeric', month: '2-digit', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit' },
  timeZoneName: 'short',
});

/** Formats a time in the user's time zone: `2026-11-30 14:47:03 CET`. */
export function exactTime(iso: string): string {
  return exactly.format(new Date(iso));
}

/** Formats the time of day: `14:47`. */
export function clockTime(at: number): string {
  return new Date(at).toLocaleTimeString('sv-SE', { hour: '2-digit', minute: '2-digit' });
}

/**
 * Creates a time that stays current while it is on the page. Its tooltip is the exact time. `setTime` changes it; null shows a dash.
 */
export function timeElement(iso: string | null, form: TimeForm = 'ago'): HTMLTimeElement {
  const created = element('time', { 'data-form': form });
  setTime(created, iso);
  keepCurrent();
  return created;
}

export function setTime(target: HTMLTimeElement, iso: string | null): void {
  setAttribute(target, 'datetime', iso);
  setAttribute(target, 'title', iso === null ? null : exactTime(iso));
  write(target);
}

/** Creates a time that is written out, such as in a timeline. */
export function exactMoment(iso: string | null): HTMLElement {
  return iso === null ? element('span', {}, NONE) : element('time', { datetime: iso }, exactTime(iso));
}

function write(target: HTMLTimeElement): void {
  const iso = target.getAttribute('datetime');
  setText(target, iso === null ? NONE : textOf(Date.parse(iso), target.dataset['form'] as TimeForm));
}

function textOf(at: number, form: TimeForm): string {
  switch (form) {
    case 'ago':
      return ago(now() - at);
    case 'due':
      return dueIn(at - now());
    case 'for':
      return duration(now() - at);
    case 'clock':
      return clockTime(at);
  }
}

let timer: number | null = null;

function keepCurrent(): void {
  timer ??= window.setInterval(() => {
    if (!document.hidden) document.querySelectorAll<HTMLTimeElement>('time[data-form]').forEach(write);
  }, EVERY_MS);
}
