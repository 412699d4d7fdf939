import type { EnqueuedTask } from '../../producer/enqueue/enqueued-task.js';
import { Producer } from '../../producer/producer.js';
import { formatLogLine, type LogLineLevel } from '../../shared/log/task-log.js';
import type { ScheduledDefinition } from '../../shared/schedule/schedule.js';
import { type SettingsInput, resolveSettings } from '../../shared/settings/settings.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { jobOptions } from '../../shared/task/job-options.js';
import { hasCodec } from '../../shared/task/payload/payload-schema.js';
import { encodeOutput } from '../../shared/task/payload/payload.js';
import { checkProgress } from '../../worker/run/context.js';
import { delayAfter, failWith, mayRetry, thrownBy } from '../../worker/run/outcome.js';
import { chunkJsons, progressJson, resultJson } from '../../worker/run/output.js';
import { type BookTask } from './book-task.js';
import { FakeParts } from './fake-parts.js';
import { requireLive } from './task-book.js';

/** A task that a fake producer has enqueued. */
export interface FakeTask {
  readonly id: string;
  readonly name: string;
  readonly queue: string;
  readonly definition: ScheduledDefinition & Partial<AnyDefinition>;
  /** As JSON carries it. */
  readonly input: unknown;
  readonly item: string | null;
  readonly tags: readonly string[];
  readonly delay: number;
  readonly priority: number;
  readonly deadline: Date | null;
  /** The id of the task whose handler enqueued it; null for none. */
  readonly parent: string | null;
}

export interface FakeProducerOptions {
  /**
   * Whether a running task ends as soon as it is stopped, as if its handler heeded the signal. Default true; with false the task is
   * `stopping` until the test calls `cancel`.
   */
  readonly heedStops?: boolean | undefined;
  /** Settings of a producer, such as `maxInputBytes`. */
  readonly settings?: Omit<SettingsInput, 'redisUrl'> | undefined;
}

type TaskOrId<Output = unknown> = string | EnqueuedTask<Output>;

/**
 * A producer without Redis, with the checks of the real one. Tasks stay queued until the test starts and ends them; what it does with a
 * queued task starts it first.
 */
export class FakeProducer extends Producer {
  readonly #parts: FakeParts;
  readonly #maxResultBytes: number;

  /** @internal */
  constructor({ heedStops = true, settings: given = {} }: FakeProducerOptions) {
    const settings = resolveSettings({ logLevel: 'silent', ...given });
    const parts = new FakeParts(settings, heedStops);
    super({ redisUrl: 'redis://fake.invalid' }, undefined, parts.components());
    this.#parts = parts;
    this.#maxResultBytes = settings.maxResultBytes;
  }

  /** The tasks that were added, in their order, with the children that handlers enqueued. Duplicates are not added. */
  get enqueued(): readonly FakeTask[] {
    return [...this.#parts.book.tasks.values()].map(fakeTaskOf);
  }

  /** Whether Redis answers; while false, every call rejects with `REDIS_UNAVAILABLE`. */
  get available(): boolean {
    return this.#parts.calls.isAvailable;
  }

  set available(isAvailable: boolean) {
    this.#parts.calls.isAvailable = isAvailable;
  }

  /** Starts the next attempt. @throws FleetError `TASK_NOT_FOUND`; `TASK_FINISHED` if the task has ended */
  start(task: TaskOrId): void {
    this.#running(task);
  }

  /** Emits a chunk, as `context.emit`. @throws FleetError as `start`; `INVALID_OUTPUT`, `OUTPUT_TOO_LARGE` */
  emit(task: TaskOrId, chunk: unknown): void {
    const running = this.#running(task);
    const { name, chunk: schema } = running.definition;
    const value = schema ? encodeOutput('chunk', name, schema, chunk) : chunk;
    for (const json of chunkJsons(value, schema ? hasCodec(schema) : false)) this.#parts.book.write(running, 'chunk', json);
  }

  /** Reports progress, as `context.progress`. @throws as `emit`; TypeError */
  progress(task: TaskOrId, value: number | Readonly<Record<string, unknown>>): void {
    const running = this.#running(task);
    const json = progressJson(checkProgress(value));
    running.progress = JSON.parse(json) as unknown;
    this.#parts.book.write(running, 'progress', json);
  }

  /** Adds a line to the task's log, as `context.log`. @throws FleetError as `start` */
  log(task: TaskOrId, level: LogLineLevel, message: string, fields: Readonly<Record<string, unknown>> = {}): void {
    const running = this.#running(task);
    const at = new Date(this.#parts.book.now());
    running.lines.push(formatLogLine({ at, level, attempt: running.attempt, message, fields }));
  }

  /** Ends the task as completed. @throws FleetError as `start`; `INVALID_OUTPUT`, `RESULT_TOO_LARGE` */
  finish<Output>(task: TaskOrId<Output>, result: NoInfer<Output>): void {
    const running = this.#running(task);
    const { name, output } = running.definition;
    running.resultJson = resultJson(name, output ? encodeOutput('output', name, output, result) : result, this.#maxResultBytes);
    const now = this.#parts.book.now();
    running.endAttempt('completed', now);
    running.end('completed', now);
    running.error = null;
    this.#parts.book.changed(running, 'completed', { returnvalue: running.resultJson });
  }

  /**
   * Fails the attempt, as a handler that throws: the task is retried if its definition and the error allow it.
   * @param final whether the task fails, whatever its definition says. Default false
   * @throws FleetError as `start`
   */
  fail(task: TaskOrId, error: unknown, { final = false } = {}): void {
    const running = this.#running(task);
    const { retry } = running.definition;
    const { error: failure } = failWith(error, retry.except);
    const made = running.attempt;
    const now = this.#parts.book.now();
    const retries = !final && mayRetry(failure, made, retry.attempts);
    const retryAt = retries ? now + delayAfter(failure, jobOptions(running.prepared.definition).backoff, made, now) : null;
    running.endAttempt('failed', now, { error: thrownBy(failure), retryAt });
    running.error = failure.message;
    if (retryAt === null) running.end('failed', now);
    else Object.assign(running, { state: 'retrying', dueAt: retryAt });
    this.#parts.book.changed(running, retryAt === null ? 'failed' : 'delayed', { failedReason: failure.message });
  }

  /** Ends a task as cancelled, after its stop or without one. @throws FleetError as `start` */
  cancel(task: TaskOrId): void {
    const live = this.#live(task);
    this.#parts.stops.settle(live, live.isRunning ? 'signal' : 'queue');
  }

  /** Forgets all tasks, schedules and pauses. */
  reset(): void {
    this.#parts.book.clear();
    this.#parts.redis.clear();
  }

  #live(task: TaskOrId): BookTask {
    return requireLive(this.#parts.book.get(typeof task === 'string' ? task : task.id));
  }

  #running(task: TaskOrId): BookTask {
    const live = this.#live(task);
    if (live.isRunning) return live;
    const { book } = this.#parts;
    live.start(book.now());
    book.changed(live, 'active');
    return live;
  }
}

/** Creates a producer without Redis, for the tests of routes and services: it records enqueues, and the test ends the tasks. */
export function fakeProducer(options: FakeProducerOptions = {}): FakeProducer {
  return new FakeProducer(options);
}

function fakeTaskOf({ id, queue, item, definition, prepared }: BookTask): FakeTask {
  const { tags, delay, priority, deadline, parent, data } = prepared;
  return {
    ...{ id, name: definition.name, queue, definition, input: JSON.parse(data) as unknown, item: item || null, tags, delay, priority },
    deadline: deadline === null ? null : new Date(deadline),
    parent: parent?.id ?? null,
  };
}
