import type { MessagePort } from 'node:worker_threads';
import { z } from 'zod';
import { FleetError, isFleetError, messageOf } from '../../../shared/errors.js';
import { limitsOf, presetSteps } from '../../../shared/limiter/marks.js';
import { AbortCause } from '../../../shared/stop/cause.js';
import { dedupeOptionsOf } from '../../../shared/task/dedupe.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { ChildTask, EnqueueChild, TaskContext } from '../../../shared/task/handler.js';
import { checkInput } from '../../../shared/task/payload/payload.js';
import { tagsOf } from '../../../shared/task/tags.js';
import type { Carrier } from '../../../shared/tracing/carrier.js';
import type { AttemptSpan } from '../../../shared/tracing/telemetry.js';
import { type EnqueueResult, type MainMessage, type ThreadMessage, causeOf, partsOf } from './messages.js';

/** `context.enqueue` inside a thread: the input is validated here, where its schema is; the main thread has the producer. */
export class ThreadEnqueuer {
  readonly #pending = new Map<number, { resolve(task: ChildTask): void; reject(error: unknown): void }>();
  #calls = 0;
  /** Returns the context of a call; null without telemetry. */
  carrier: (() => Carrier | undefined) | null = null;

  /** @param item the item of the run's task, which its children have too */
  constructor(
    private readonly port: MessagePort,
    private readonly maxInputBytes: number,
    private readonly item: string | null,
  ) {}

  readonly enqueue: EnqueueChild = async (definition, given, asked = {}) => {
    const {
      input: _input,
      output: _output,
      chunk: _chunk,
      concurrency: _places,
      rate: _rate,
      fair: _fair,
      dedupe: _dedupe,
      tags: _tags,
      ...portable
    } = definition as AnyDefinition;
    const { json, parsed } = checkInput(definition as AnyDefinition, given, this.maxInputBytes);
    const input = JSON.parse(json) as unknown;
    const task = { input: parsed, item: this.item };
    const limits = limitsOf(definition as AnyDefinition, task);
    // The main thread adds the tags of the parent.
    const tags = tagsOf(definition, task, { given: asked.tags });
    const options = { ...asked, tags, dedupe: dedupeOptionsOf(definition, asked.dedupe, task) };
    const call = (this.#calls += 1);
    const carrier = this.carrier?.();
    return new Promise<ChildTask>((resolve, reject) => {
      this.#pending.set(call, { resolve, reject });
      this.port.postMessage({ type: 'enqueue', call, definition: portable, limits, input, options, carrier } satisfies ThreadMessage);
    });
  };

  receive({ call, ...result }: Extract<MainMessage, { type: 'enqueued' }>): void {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    if (result.ok) return pending?.resolve(result.task);
    const { code, message, details, cause } = result.error;
    if (cause) pending?.reject(causeOf(cause));
    else pending?.reject(code === null ? new Error(message) : new FleetError(code, message, { details }));
  }
}

/** Enqueues a child task for a thread, in the main thread. Never rejects. */
export async function enqueueForThread(
  context: TaskContext,
  { definition, limits, input, options, carrier }: Extract<ThreadMessage, { type: 'enqueue' }>,
  span: AttemptSpan | null,
): Promise<EnqueueResult> {
  try {
    const absent = { output: null, chunk: null, concurrency: [], rate: [], fair: null, dedupe: null, tags: null };
    const whole = { ...definition, input: z.unknown(), ...absent };
    if (limits) presetSteps(whole, limits);
    const enqueue = (): Promise<ChildTask> => context.enqueue(whole, input, options);
    return { ok: true, task: await (span && carrier !== undefined ? span.resume(carrier, enqueue) : enqueue()) };
  } catch (error) {
    const known = isFleetError(error) ? error : null;
    const cause = error instanceof AbortCause ? partsOf(error) : null;
    return { ok: false, error: { code: known?.code ?? null, message: messageOf(error), details: known?.details ?? {}, cause } };
  }
}
