import { randomBytes } from 'node:crypto';
import { MAX_LOG_BYTES, MAX_LOG_LINES, formatLogLine } from '../../../shared/log/task-log.js';
import type { ScriptedRedis } from '../../../shared/scripts/define-scripts.js';

/** How long lines are batched, in ms. */
const DELAY_MS = 10;
/** Bytes of unwritten lines in a whole worker process. */
const MAX_WORKER_BYTES = 67_108_864;

/** The unwritten log lines of all runs of a process. */
export class LogBacklog {
  bytes = 0;

  constructor(private readonly maxBytes = MAX_WORKER_BYTES) {}

  get full(): boolean {
    return this.bytes > this.maxBytes;
  }
}

interface Batch {
  readonly lines: string[];
  readonly bytes: number;
}

interface LogWriterOptions {
  readonly redis: ScriptedRedis;
  /** Key of the job. */
  readonly job: string;
  readonly attempt: number;
  readonly clock: { now(): number };
  readonly backlog: LogBacklog;
  /** Called for each batch that could not be written. */
  readonly onError: (error: unknown, lines: number) => void;
}

/**
 * Writes the log of one run in batches. One batch is on its way at a time; meanwhile the newest lines wait, as many as a task's log
 * keeps, and older ones are dropped and counted.
 */
export class LogWriter {
  /** Tells this writer's batches from those of other runs. */
  readonly #id = randomBytes(6).toString('base64url');
  #lines: string[] = [];
  #bytes = 0;
  /** Lines dropped since the last batch. */
  #dropped = 0;
  /** Lines of batches that Redis refused, not yet noted in the log. */
  #lost = 0;
  #batches = 0;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> | null = null;
  #closed = false;

  constructor(private readonly options: LogWriterOptions) {}

  add(line: string): void {
    if (this.#closed) return;
    const { backlog } = this.options;
    this.#lines.push(line);
    this.#count(Buffer.byteLength(line));
    while (this.#lines.length > 1 && (this.#lines.length > MAX_LOG_LINES || this.#bytes > MAX_LOG_BYTES || backlog.full)) {
      this.#count(-Buffer.byteLength(this.#lines.shift() as string));
      this.#dropped += 1;
    }
    if (this.#writing === null) this.#timer ??= setTimeout(() => this.#flush(), DELAY_MS);
  }

  /**
   * Sends the waiting lines and ignores later ones. If the connection keeps the order, the lines reach Redis before any later command;
   * otherwise await `written`.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#flush();
  }

  /** Resolves when all batches are written or lost. */
  async written(): Promise<void> {
    await this.#writing;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    this.options.backlog.bytes += bytes;
  }

  #flush(): void {
    if (this.#timer) clearTimeout(this.#timer);
    this.#timer = null;
    if (this.#lines.length === 0) return;
    const batch = { lines: this.#lines, bytes: this.#bytes };
    this.#lines = [];
    this.#bytes = 0;
    const sent = this.#send(batch);
    const writing = (this.#writing ? Promise.all([this.#writing, sent]) : sent).then(() => {
      if (this.#writing === writing) this.#writing = null;
      if (!this.#closed) this.#flush();
    });
    this.#writing = writing;
  }

  async #send({ lines, bytes }: Batch): Promise<void> {
    const { redis, job, backlog, onError } = this.options;
    const [dropped, lost] = [this.#dropped, this.#lost];
    const noted = lost > 0 ? [this.#noteOf(lost), ...lines] : lines;
    this.#batches += 1;
    this.#dropped = 0;
    this.#lost = 0;
    try {
      await redis.appendLog(job, `${job}:logs`, this.#id, this.#batches, dropped, MAX_LOG_LINES, MAX_LOG_BYTES, ...noted);
    } catch (error) {
      this.#lost += lost + dropped + lines.length;
      onError(error, lines.length);
    } finally {
      backlog.bytes -= bytes;
    }
  }

  #noteOf(lost: number): string {
    const { attempt, clock } = this.options;
    const message = `${lost} log ${lost === 1 ? 'line was' : 'lines were'} lost: Redis refused to store ${lost === 1 ? 'it' : 'them'}`;
    return formatLogLine({ at: new Date(clock.now()), level: 'warn', attempt, message, fields: {} });
  }
}
