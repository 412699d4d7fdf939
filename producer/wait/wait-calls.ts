import { isObject } from '../../shared/arguments.js';
import type { TaskEvent } from '../../shared/events/event.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { decodeChunk, decodeOutput } from '../../shared/task/payload/payload.js';
import type { TaskReader } from '../../shared/task/task-reader.js';
import { type TaskView, taskFailed, taskSkipped } from '../../shared/task/view.js';
import { checkName, idOf, signalOptionsOf, taskCallOf } from '../arguments.js';
import type { CallGate } from '../calls.js';
import type { EnqueuedTask } from '../enqueue/enqueued-task.js';
import type { WaitOptions, Watch } from './watch.js';

export interface EventOptions {
  /** Id of the last event seen. Default: replay all stored events. */
  readonly after?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

interface WaitCallsOptions {
  readonly calls: CallGate;
  readonly reader: TaskReader;
  readonly watch: Watch;
  /** Returns the definition that this producer enqueued a task of a name with; null if it did not. */
  readonly definitionOf: (name: string) => AnyDefinition | null;
}

/** The calls of a producer that return results and chunks: decoded, if the definition is known. */
export class WaitCalls {
  constructor(private readonly options: WaitCallsOptions) {}

  get(task: string | EnqueuedTask): Promise<TaskView | null> {
    return this.options.calls.repeatable(async () => {
      const id = idOf(task);
      const view = (await this.options.reader.read([id], 'whole')).get(id);
      return view ? decoded(view, this.#definitionIn(task)) : null;
    });
  }

  untilFinished(task: string | EnqueuedTask, options: WaitOptions | undefined): Promise<TaskView> {
    const { calls, watch } = this.options;
    return calls.repeatable(async () => decoded(await watch.untilFinished(idOf(task), signalOptionsOf(options)), this.#definitionIn(task)));
  }

  result(given: readonly unknown[]): Promise<unknown> {
    const { calls, watch } = this.options;
    return calls.repeatable(async () => {
      const { id, definition, options } = taskCallOf<WaitOptions>(given);
      if (definition) checkName(definition, await watch.get(id));
      const end = await watch.untilFinished(id, signalOptionsOf(options));
      if (end.state === 'completed') return decoded(end, definition ?? this.#definitionIn(given[0])).result;
      if (end.state === 'skipped') throw taskSkipped(end);
      throw taskFailed(end);
    });
  }

  async *events(given: readonly unknown[]): AsyncGenerator<TaskEvent, void, undefined> {
    const { id, definition, options } = taskCallOf<EventOptions>(given);
    const { after, signal } = signalOptionsOf(options);
    const { calls, watch } = this.options;
    try {
      await calls.ready();
      if (definition) checkName(definition, await watch.get(id));
      const events = watch.events(id, { after: after ?? null, ...(signal && { signal }) });
      if (!definition) return yield* events;
      for await (const event of events)
        yield event.type === 'chunk' ? { ...event, chunk: decodeChunk(`task ${id}`, definition.chunk, event.chunk) } : event;
    } catch (error) {
      throw calls.explain(error);
    }
  }

  /** Returns the definition of an enqueued task; null for an id, whose caller states the type. */
  #definitionIn(task: unknown): AnyDefinition | null {
    return isObject(task) && 'name' in task && typeof task.name === 'string' ? this.options.definitionOf(task.name) : null;
  }
}

/** @throws FleetError `INVALID_OUTPUT` if the result does not match the definition */
function decoded(task: TaskView, definition: AnyDefinition | null): TaskView {
  if (task.state !== 'completed' || !definition?.output) return task;
  return { ...task, result: decodeOutput('output', `task ${task.id}`, definition.output, task.result) };
}
