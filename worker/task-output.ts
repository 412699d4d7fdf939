import { FleetError } from '../shared/errors.js';
import { MAX_CHUNK_BYTES, MAX_PROGRESS_BYTES, bytesBeyond } from '../shared/limits.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import { type StreamWrite, writeEvents } from '../shared/task/event-stream.js';

/** How long chunks gather before they go out. Short enough that text still seems to flow. */
const CHUNK_DELAY_MS = 10;
/** Progress that comes faster than this replaces what is waiting. */
const PROGRESS_INTERVAL_MS = 100;
/** Chunks of one batch; more go out at once. */
const MAX_BATCH = 256;
/** Characters of one batch. */
const MAX_BATCH_LENGTH = 1_048_576;
/** Characters of one part of a long text: as JSON one may take six bytes. */
const CHUNK_PART = Math.floor(MAX_CHUNK_BYTES / 6) - 1;

/** What one run says: chunks and progress, batched into the task's stream. Silent once it is closed. */
export class TaskOutput {
  readonly #redis: ScriptedRedis;
  readonly #key: string;
  readonly #attempt: number;
  readonly #saveProgress: (progress: object | number) => Promise<unknown>;
  readonly #mayWrite: () => boolean;
  readonly #onError: (error: unknown) => void;
  #chunks: StreamWrite[] = [];
  /** Characters of those. */
  #gathered = 0;
  /** Of all that were emitted. */
  #chunkCount = 0;
  #chunkLength = 0;
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

  /** @throws FleetError `OUTPUT_TOO_LARGE`; TypeError for what JSON cannot hold: a circle, a BigInt */
  emit(chunk: unknown): void {
    if (this.#closed) return;
    for (const data of chunkJsons(chunk)) {
      this.#chunks.push({ type: 'chunk', data });
      this.#gathered += data.length;
      this.#chunkCount += 1;
      this.#chunkLength += data.length;
    }
    if (this.#chunks.length >= MAX_BATCH || this.#gathered >= MAX_BATCH_LENGTH) this.#sendChunks();
    else this.#chunkTimer ??= setTimeout(() => this.#sendChunks(), CHUNK_DELAY_MS);
  }

  /** @throws FleetError `OUTPUT_TOO_LARGE`; TypeError for what JSON cannot hold */
  progress(value: object | number): void {
    if (this.#closed) return;
    this.#progress = progressJson(value);
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
    this.#gathered = 0;
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
    writeEvents(pipeline, this.#key, events, this.#chunkLength / Math.max(1, this.#chunkCount));
    const writing = pipeline.exec().then(
      (replies) => this.#check(replies?.find(([error]) => error)?.[0]),
      (error: unknown) => this.#check(error),
    );
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

/** A progress value as JSON. @throws FleetError `OUTPUT_TOO_LARGE`; TypeError for what JSON cannot hold */
export function progressJson(value: object | number): string {
  const json = toJson(value);
  const bytes = bytesBeyond(json, MAX_PROGRESS_BYTES);
  if (bytes !== null) throw tooLarge('progress', 'The value', bytes, MAX_PROGRESS_BYTES, 'Report less, or emit the rest in chunks.');
  return json;
}

/** A chunk as JSON, a long text as several. @throws FleetError `OUTPUT_TOO_LARGE`; TypeError for what JSON cannot hold */
export function chunkJsons(chunk: unknown): string[] {
  const json = toJson(chunk);
  const bytes = bytesBeyond(json, MAX_CHUNK_BYTES);
  if (bytes === null) return [json];
  if (typeof chunk === 'string') return partsOf(chunk).map(toJson);
  throw tooLarge('emit', 'The chunk', bytes, MAX_CHUNK_BYTES, 'Emit several smaller ones.');
}

/** A text in parts that are short enough however JSON escapes them; none begins or ends within a character. */
function partsOf(text: string): string[] {
  const parts: string[] = [];
  for (let from = 0; from < text.length;) {
    const end = from + CHUNK_PART;
    const to = isLowSurrogate(text.charCodeAt(end)) ? end - 1 : end;
    parts.push(text.slice(from, to));
    from = to;
  }
  return parts;
}

function isLowSurrogate(unit: number): boolean {
  return unit >= 0xdc00 && unit <= 0xdfff;
}

function tooLarge(call: string, what: string, bytes: number, limit: number, advice: string): FleetError {
  return new FleetError('OUTPUT_TOO_LARGE', `context.${call}: ${what} is ${bytes} bytes of JSON; at most ${limit} are allowed. ${advice}`, {
    details: { bytes, limit },
  });
}

/** What a handler says, as JSON. What JSON leaves out (undefined, a function, a symbol) is null. */
export function toJson(value: unknown): string {
  const json: string | undefined = JSON.stringify(value);
  return json ?? 'null';
}
