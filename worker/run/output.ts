import { FleetError, messageOf } from '../../shared/errors.js';
import { MAX_CHUNK_BYTES, MAX_PROGRESS_BYTES, bytesBeyond } from '../../shared/limits.js';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';
import { type StreamWrite, writeEvents } from '../../shared/task/event-stream.js';

/** How long chunks are batched, in ms: short enough that text still seems to flow. */
const CHUNK_DELAY_MS = 10;
/** Minimum interval between progress events, in ms; newer progress replaces unsent progress meanwhile. */
const PROGRESS_INTERVAL_MS = 100;
/** Most chunks in one batch; a full batch is sent at once. */
const MAX_BATCH = 256;
/** Most characters in one batch. */
const MAX_BATCH_LENGTH = 1_048_576;
/** Characters in one part of a long text: each may take six bytes as JSON. */
const CHUNK_PART = Math.floor(MAX_CHUNK_BYTES / 6) - 1;

/** The output of one run: chunks and progress, batched into the task's event stream. Ignores output after it is closed. */
export class TaskOutput {
  #chunks: StreamWrite[] = [];
  /** Characters in the current batch. */
  #batchLength = 0;
  /** Totals of all emitted chunks. */
  #chunkCount = 0;
  #chunkLength = 0;
  /** Unsent progress, as JSON because the handler may go on changing the object. */
  #progress: string | null = null;
  #progressAt = -Infinity;
  #chunkTimer: NodeJS.Timeout | null = null;
  #progressTimer: NodeJS.Timeout | null = null;
  #used = false;
  /** Whether the `running` event is in the stream, as far as is known. */
  #announced = false;
  #errorReported = false;
  #writing: Promise<unknown> = Promise.resolve();
  #closed = false;

  /**
   * @param saveProgress stores the newest progress with the job, where Bull Board shows it
   * @param mayWrite asked before each write; refused output is dropped
   */
  constructor(
    private readonly redis: ScriptedRedis,
    private readonly key: string,
    private readonly attempt: number,
    private readonly saveProgress: (progress: object | number) => Promise<unknown>,
    private readonly mayWrite: () => boolean,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Whether this run has written to the event stream. */
  get used(): boolean {
    return this.#used;
  }

  /**
   * @param whole whether a long text must stay in one chunk, because a codec decodes it
   * @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the chunk (a cycle, a BigInt)
   */
  emit(chunk: unknown, whole = false): void {
    if (this.#closed) return;
    for (const data of chunkJsons(chunk, whole)) {
      this.#chunks.push({ type: 'chunk', data });
      this.#batchLength += data.length;
      this.#chunkCount += 1;
      this.#chunkLength += data.length;
    }
    if (this.#chunks.length >= MAX_BATCH || this.#batchLength >= MAX_BATCH_LENGTH) this.#sendChunks();
    else this.#chunkTimer ??= setTimeout(() => this.#sendChunks(), CHUNK_DELAY_MS);
  }

  /** @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the value */
  progress(value: object | number): void {
    if (this.#closed) return;
    this.#progress = progressJson(value);
    const wait = this.#progressAt + PROGRESS_INTERVAL_MS - performance.now();
    this.#progressTimer ??= setTimeout(() => this.#sendProgress(), Math.max(CHUNK_DELAY_MS, wait));
  }

  /**
   * Sends pending output and ignores later calls, such as those of an abandoned handler. If the connection keeps the order, the output
   * reaches Redis before any later command; otherwise await `written`.
   */
  close(): void {
    if (this.#closed) return;
    this.#sendChunks();
    this.#sendProgress();
    this.#closed = true;
  }

  /** Resolves when all writes have succeeded or failed. */
  async written(): Promise<void> {
    await this.#writing;
  }

  #sendChunks(): void {
    if (this.#chunkTimer) clearTimeout(this.#chunkTimer);
    this.#chunkTimer = null;
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#batchLength = 0;
    if (chunks.length > 0 && this.mayWrite()) this.#send(chunks);
  }

  #sendProgress(): void {
    if (this.#progressTimer) clearTimeout(this.#progressTimer);
    this.#progressTimer = null;
    if (this.#progress === null) return;
    const data = this.#progress;
    this.#progress = null;
    if (!this.mayWrite()) return;
    this.#progressAt = performance.now();
    this.saveProgress(JSON.parse(data) as object | number).catch(this.onError);
    this.#send([{ type: 'progress', data }]);
  }

  #send(events: StreamWrite[]): void {
    // In the same write, so that readers know the attempt of these events even if the end of the previous attempt is written later.
    if (!this.#announced) events.unshift({ type: 'state', data: '"running"', attempt: this.attempt });
    this.#used = true;
    this.#announced = true;
    const pipeline = this.redis.pipeline();
    writeEvents(pipeline, this.key, events, this.#chunkLength / Math.max(1, this.#chunkCount));
    const writing = pipeline.exec().then(
      (replies) => this.#check(replies?.find(([error]) => error)?.[0]),
      (error: unknown) => this.#check(error),
    );
    this.#writing = Promise.all([this.#writing, writing]);
  }

  /** After a failed write `running` is written again, because it may be missing. Only the first failure is reported. */
  #check(error: unknown): void {
    if (!error) return;
    this.#announced = false;
    if (!this.#errorReported) this.onError(error);
    this.#errorReported = true;
  }
}

/**
 * Returns a progress value as JSON.
 * @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the value
 */
export function progressJson(value: object | number): string {
  const json = toJson(value);
  const bytes = bytesBeyond(json, MAX_PROGRESS_BYTES);
  if (bytes !== null) throw tooLarge('progress', 'The value', bytes, MAX_PROGRESS_BYTES, 'Report less, or emit the rest in chunks.');
  return json;
}

/**
 * Returns a chunk as JSON; a long text as several, unless it must stay whole.
 * @throws FleetError `OUTPUT_TOO_LARGE`; TypeError if JSON cannot represent the chunk
 */
export function chunkJsons(chunk: unknown, whole: boolean): string[] {
  const json = toJson(chunk);
  const bytes = bytesBeyond(json, MAX_CHUNK_BYTES);
  if (bytes === null) return [json];
  if (typeof chunk === 'string' && !whole) return partsOf(chunk).map(toJson);
  throw tooLarge('emit', 'The chunk', bytes, MAX_CHUNK_BYTES, 'Emit several smaller ones.');
}

/** Splits a text, never inside a character, into parts that fit however JSON escapes them. */
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

/** Serializes output. Values that JSON omits (undefined, a function, a symbol) become null. */
function toJson(value: unknown): string {
  const json: string | undefined = JSON.stringify(value);
  return json ?? 'null';
}

/**
 * Returns a handler's result as JSON. Values that JSON omits (undefined, a function, a symbol) become null.
 * @throws FleetError `INVALID_OUTPUT` if JSON cannot represent the result (a cycle, a BigInt); `RESULT_TOO_LARGE`
 */
export function resultJson(name: string, result: unknown, maxBytes: number): string {
  const json = stringified(name, result, maxBytes);
  const bytes = bytesBeyond(json, maxBytes);
  if (bytes !== null) throw resultTooLarge(name, `is ${bytes} bytes of JSON`, maxBytes, bytes);
  return json;
}

function stringified(name: string, result: unknown, maxBytes: number): string {
  try {
    return toJson(result);
  } catch (error) {
    // V8 limits strings to half a gigabyte.
    if (error instanceof RangeError && error.message === 'Invalid string length')
      throw resultTooLarge(name, 'is too long to serialize', maxBytes, null);
    throw new FleetError('INVALID_OUTPUT', `Bad output of ${name}: not JSON (${messageOf(error)})`, { cause: error });
  }
}

function resultTooLarge(name: string, what: string, limit: number, bytes: number | null): FleetError {
  const advice = 'Store the content elsewhere and return a reference, emit it in chunks, or raise MAX_RESULT_BYTES.';
  return new FleetError('RESULT_TOO_LARGE', `The result of ${name} ${what}; at most ${limit} bytes are allowed. ${advice}`, {
    details: { task: name, bytes, limit },
  });
}
