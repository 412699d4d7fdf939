import { write } from 'node:fs';
import { workerData } from 'node:worker_threads';
import { pino } from 'pino';
import { CHECKS, type WatchdogData } from './watchdog.js';

/** The thread of the watchdog: see `Watchdog`. */

/** How long the log line, and the record in Redis, may take, in ms: nobody may read standard error, or Redis be away. */
const LOG_MS = 500;
const RECORD_MS = 10_000;
const STANDARD_ERROR = 2;

const { beats, limitMs, worker, settings } = workerData as WatchdogData;
let seen = -1;
let silent = 0;
// Counts checks rather than time: a frozen process makes none, and is not to be killed when it wakes.
const timer = setInterval(() => {
  const now = Atomics.load(beats, 0);
  silent = now === seen ? silent + 1 : 0;
  seen = now;
  if (silent < CHECKS) return;
  clearInterval(timer);
  setTimeout(kill, settings === null ? LOG_MS : RECORD_MS);
  void Promise.all([log(), record()]).then(kill);
}, limitMs / CHECKS);

function log(): Promise<void> {
  return new Promise((resolve) => write(STANDARD_ERROR, lineOf(), () => resolve()));
}

/** Never rejects. Loads the client only now: the thread of a healthy worker is small. */
async function record(): Promise<void> {
  if (settings === null) return;
  const text = `the event loop hung for more than ${limitMs / 1_000} s; the watchdog killed the process`;
  await import('./last-words.js').then(({ writeLastWords }) => writeLastWords(settings, worker, text, RECORD_MS)).catch(() => undefined);
}

function kill(): void {
  process.kill(process.pid, 'SIGKILL');
}

function lineOf(): string {
  let line = '';
  pino({ base: null }, { write: (text) => (line = text) }).fatal(
    { component: 'worker', id: worker, pid: process.pid, limitMs },
    'The event loop hangs; killing this process. Its tasks run again elsewhere, and those that lose their worker too often fail',
  );
  return line;
}
