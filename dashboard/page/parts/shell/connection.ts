import { TaskfleetError } from '../../client.js';
import { EventStream, type EventStreamOptions, now } from '../api.js';
import { byId, setAttribute, setText } from '../dom.js';
import { announce } from '../ui/feedback.js';
import { clockTime } from '../ui/time.js';
import { type Link, Liveness, SILENT_MS } from './liveness.js';

const CHECK_MS = 1_000;
/** A poll that fails is repeated sooner than one that succeeds, in ms. */
const RETRY_MS = 2_000;
const TEXTS: Readonly<Record<Link['state'], string>> = {
  connecting: '◌ connecting …',
  live: '● live',
  lost: '○ reconnecting …',
  stale: '',
};

const liveness = new Liveness(now());
const recovered = new Set<(staleSince: number) => void>();
const polls = new Set<() => void>();
let stale: number | null = null;

/** Starts to watch the connection: a stale page says so, dims its data and turns its actions off, until it hears again. */
export function watchConnection(): void {
  window.setInterval(show, CHECK_MS);
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) return;
    liveness.wake(now());
    for (const poll of polls) poll();
    show();
  });
  for (const type of ['click', 'submit']) document.addEventListener(type, refuse, { capture: true });
  new MutationObserver(() => stale !== null && markActions()).observe(document.body, { childList: true, subtree: true });
}

/** Calls the listener when the page has become live again after it was stale. */
export function onRecovery(listener: (staleSince: number) => void): void {
  recovered.add(listener);
}

/**
 * Calls `refresh` now and at an interval while the page is visible. Without an answer the page becomes stale. Errors other than a lost
 * connection are given to `fail`.
 */
export function refreshEvery(refresh: () => Promise<void>, intervalMs: number, fail: (error: unknown) => void = ignore): void {
  const name = `poll ${polls.size}`;
  let timer = 0;
  let running = false;
  const run = async (): Promise<void> => {
    if (running) return;
    running = true;
    window.clearTimeout(timer);
    const delay = document.hidden ? intervalMs : await attempt(name, refresh, intervalMs, fail);
    running = false;
    timer = window.setTimeout(() => void run(), delay);
  };
  liveness.connecting(name);
  polls.add(() => void run());
  void run();
}

async function attempt(name: string, refresh: () => Promise<void>, intervalMs: number, fail: (error: unknown) => void): Promise<number> {
  try {
    await refresh();
    heard(name, intervalMs);
    return intervalMs;
  } catch (error) {
    if (!isLoss(error)) {
      heard(name, intervalMs);
      fail(error);
      return intervalMs;
    }
    lost(name, error);
    return Math.min(intervalMs, RETRY_MS);
  }
}

/** Creates an event stream of the API that counts for the connection state while open, and is opened again after the page was stale. */
export function followEvents(options: Pick<EventStreamOptions, 'path' | 'on'>): EventStream {
  let openedAt = 0;
  let over = true;
  const stream = new EventStream({
    ...options,
    onLink: (state) => {
      over = state === 'ended';
      if (over) liveness.forget('events');
      else if (state === 'connecting') liveness.connecting('events');
      else if (state === 'lost') liveness.failed('events', now(), { away: false, problem: 'The event stream is interrupted.' });
      else {
        openedAt = now();
        liveness.heard('events', openedAt, Infinity);
      }
      show();
    },
  });
  // The server may have missed changes, or the stream may be dead without the browser's knowledge.
  onRecovery((staleSince) => {
    if (!over && openedAt <= staleSince) stream.open();
  });
  return stream;
}

/** Notes an answer of the server. */
export function heard(name: string, intervalMs: number): void {
  liveness.heard(name, now(), Math.max(SILENT_MS, 2.5 * intervalMs));
  show();
}

/** Notes a missing answer. */
export function lost(name: string, error: unknown): void {
  const away = error instanceof TaskfleetError && error.status === 503;
  liveness.failed(name, now(), { away, problem: error instanceof Error ? error.message : 'Something went wrong.' });
  show();
}

function isLoss(error: unknown): boolean {
  return error instanceof TaskfleetError && (error.status === 0 || error.status >= 500);
}

function ignore(): void {}

function show(): void {
  if (document.hidden) return;
  const link = liveness.link(now());
  const place = byId('link', HTMLElement);
  place.dataset['state'] = link.state;
  setText(place, link.since === null ? TEXTS[link.state] : `✕ stale since ${clockTime(link.since)}`);
  showStale(link);
}

function showStale({ since, problem }: Link): void {
  const before = stale;
  stale = since;
  const bar = byId('stale', HTMLElement);
  bar.hidden = since === null;
  if (since === null) {
    if (before === null) return;
    setAttribute(document.documentElement, 'data-stale', null);
    for (const button of document.querySelectorAll('[data-writes]')) button.removeAttribute('aria-disabled');
    announce('Live again.');
    for (const listener of recovered) listener(before);
    return;
  }
  setText(bar, `Stale since ${clockTime(since)}. ${problem ?? 'The server does not answer.'} Actions are off. Retrying …`);
  if (before !== null) return;
  setAttribute(document.documentElement, 'data-stale', '');
  markActions();
}

function markActions(): void {
  for (const button of document.querySelectorAll('[data-writes]')) setAttribute(button, 'aria-disabled', 'true');
}

function refuse(event: Event): void {
  if (stale === null || !(event.target instanceof Element)) return;
  const action = event.type === 'submit' ? event.target.querySelector('[data-writes]') : event.target.closest('[data-writes]');
  if (action === null) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  announce(`Not possible: stale since ${clockTime(stale)}.`);
}
