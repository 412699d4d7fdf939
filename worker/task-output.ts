import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import { type StreamWrite, writeEvents } from '../shared/task/event-stream.js';

/** How long chunks gather before they go out. Short enough that text still seems to flow. */
const CHUNK_DELAY_MS = 10;
/** Progress that comes faster than this replaces what is waiting. */
const PROGRESS_INTERVAL_MS = 100;
/** Chunks of one batch; more go out at once. */
const MAX_BATCH = 256;

/** What one run says: chunks and progress, batched into the task's stream. Silent once it is closed. */
export class TaskOutput {
  readonly #redis: ScriptedRedis;
  readonly #key: string;
  readonly #attempt: number;
  readonly #saveProgress: (progress: object | number) => Promise<unknown>;
  readonly #mayWrite: () => boolean;
  readonly #onError: (error: unknown) => void;
  #chunks: StreamWrite[] = [];
  /** As JSON: a handler may go on changing the object. */
  #progress: string | null = null;
  #progressAt = -Infinity;
  #chunkTimer: NodeJS.Timeout | null = null;
  #progressTimer: NodeJS.Timeout | null = null;
  #used = false;
  /** Whether `running` is in the stream, as far as is known. */
  #announced = false;
  #failed = false;
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * `saveProgress` keeps the newest progress with the job, where Bull Board shows it. `mayWrite` is asked before each
   * write; what it refuses is dropped.
   */
  constructor(
    redis: ScriptedRedis,
    key: string,
    attempt: number,
    saveProgress: (progress: object | number) => Promise<unknown>,
    mayWrite: () => boolean,
    onError: (error: unknown) => void,
  ) {
    this.#redis = redis;
    this.#key = key;
    this.#attempt = attempt;
    this.#saveProgress = saveProgress;
    this.#mayWrite = mayWrite;
    this.#onError = onError;
  }

  /** Whether the task has a stream by now. */
  get used(): boolean {
    return this.#used;
  }

  /** @throws TypeError for what JSON cannot hold: a circle, a BigInt */
  emit(chunk: unknown): void {
    if (this.#closed) return;
    this.#chunks.push({ type: 'chunk', data: toJson(chunk) });
    if (this.#chunks.length >= MAX_BATCH) this.#sendChunks();
    else this.#chunkTimer ??= setTimeout(() => this.#sendChunks(), CHUNK_DELAY_MS);
  }

  /** @throws TypeError for what JSON cannot hold */
  progress(value: object | number): void {
    if (this.#closed) return;
    this.#progress = toJson(value);
    const wait = this.#progressAt + PROGRESS_INTERVAL_MS - performance.now();
    this.#progressTimer ??= setTimeout(() => this.#sendProgress(), Math.max(CHUNK_DELAY_MS, wait));
  }

  /**
   * Sends what is waiting and takes nothing more: whatever a given-up handler says later is not heard. Where the
   * connection keeps the order, all of it is in Redis before whatever is sent next; elsewhere see `written`.
   */
  close(): void {
    if (this.#closed) return;
    this.#sendChunks();
    this.#sendProgress();
    this.#closed = true;
  }

  /** Resolves when everything that was sent is in Redis, or failed. */
  async written(): Promise<void> {
    await this.#writing;
  }

  #sendChunks(): void {
    if (this.#chunkTimer) clearTimeout(this.#chunkTimer);
    this.#chunkTimer = null;
    const chunks = this.#chunks;
    this.#chunks = [];
    if (chunks.length > 0 && this.#mayWrite()) this.#send(chunks);
  }

  #sendProgress(): void {
    if (this.#progressTimer) clearTimeout(this.#progressTimer);
    this.#progressTimer = null;
    if (this.#progress === null) return;
    const data = this.#progress;
    this.#progress = null;
    if (!this.#mayWrite()) return;
    this.#progressAt = performance.now();
    this.#saveProgress(JSON.parse(data) as object | number).catch(this.#onError);
    this.#send([{ type: 'progress', data }]);
  }

  #send(events: StreamWrite[]): void {
    // In one write: whoever follows the task knows which attempt speaks, however late the end of the one before is written.
    if (!this.#announced) events.unshift({ type: 'state', data: '"running"', attempt: this.#attempt });
    this.#used = true;
    this.#announced = true;
    const pipeline = this.#redis.pipeline();
    writeEvents(pipeline, this.#key, events);
    const writing = pipeline.exec().then((replies) => this.#check(replies?.find(([error]) => error)?.[0]), (error: unknown) => this.#check(error));
    this.#writing = Promise.all([this.#writing, writing]);
  }

  /** After a write that failed `running` is written again: it may be what is missing. Many more may fail; one is told of. */
  #check(error: unknown): void {
    if (!error) return;
    this.#announced = false;
    if (!this.#failed) this.#onError(error);
    this.#failed = true;
  }
}

/** What a handler says, as JSON. What JSON leaves out (undefined, a function, a symbol) is null. */
export function toJson(value: unknown): string {
  const json: string | undefined = JSON.stringify(value);
  return json ?? 'null';
}
