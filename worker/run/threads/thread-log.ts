import type { MessagePort } from 'node:worker_threads';
import { pino } from 'pino';
import { ERROR_SERIALIZERS } from '../../../shared/log/logger.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { ThreadMessage } from './messages.js';

/** Characters of log lines that may be on their way to the main thread. */
const MAX_UNREAD = 1_048_576;
/** How long a line waits for the main thread at most, in ms: it may be blocked itself. */
const PATIENCE_MS = 1_000;

/**
 * Counts the log lines that a thread sends and the main thread reads, in characters. A handler that logs faster than the main thread
 * reads waits: otherwise its lines would fill the memory of the process, and keep the main thread from the other tasks.
 */
export class LogFlow {
  #sent = 0;
  readonly #read: Int32Array<SharedArrayBuffer>;

  constructor(
    readonly shared: SharedArrayBuffer = new SharedArrayBuffer(4),
    private readonly maxUnread = MAX_UNREAD,
    private readonly patienceMs = PATIENCE_MS,
  ) {
    this.#read = new Int32Array(shared);
  }

  /** Blocks the thread until the line may be sent. */
  send(size: number): void {
    const read = Atomics.load(this.#read, 0);
    // Both counts wrap around at 32 bits.
    if (((this.#sent - read) | 0) > this.maxUnread) Atomics.wait(this.#read, 0, read, this.patienceMs);
    this.#sent = (this.#sent + size) | 0;
  }

  /** Notes in the main thread that a line was read. */
  receive(size: number): void {
    Atomics.add(this.#read, 0, size);
    Atomics.notify(this.#read, 0);
  }
}

/** Creates a logger whose lines the main thread writes, with its levels and the task's fields. */
export function threadLogger(port: MessagePort, flow: LogFlow, level: string): pino.Logger {
  const write = (line: string): void => {
    const { level: label, msg, time: _time, ...fields } = JSON.parse(line) as Record<string, unknown>;
    flow.send(line.length);
    const message = typeof msg === 'string' ? msg : '';
    port.postMessage({ type: 'log', level: label as LogLevel, fields, message, size: line.length } satisfies ThreadMessage);
  };
  return pino({ base: null, level, serializers: ERROR_SERIALIZERS, formatters: { level: (label) => ({ level: label }) } }, { write });
}
