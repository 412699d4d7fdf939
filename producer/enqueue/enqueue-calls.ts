import { badArgument, definitionOf, isObject, optionsOf } from '../../shared/arguments.js';
import type { Store } from '../../shared/store.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildOptions, ParentTask } from '../../shared/task/handler.js';
import type { Carrier } from '../../shared/tracing/carrier.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import { tasksOf } from '../arguments.js';
import type { CallGate } from '../calls.js';
import type { DefinitionPublisher } from '../workers/definition-publisher.js';
import { enqueueMany } from './enqueue-many.js';
import type { EnqueuedTask } from './enqueued-task.js';
import type { Enqueuer } from './enqueuer.js';
import { enqueueFailure } from './failure.js';
import { type EnqueueOptions, type PreparedTask, type TaskLimits, prepareChild, prepareTask } from './prepare.js';

interface EnqueueCallsOptions {
  readonly store: Store;
  readonly calls: CallGate;
  readonly enqueuer: Enqueuer;
  readonly limits: TaskLimits;
  /** Learns which definitions are in use. */
  readonly definitions: Pick<DefinitionPublisher, 'note'>;
  /** Null for none. */
  readonly telemetry: Telemetry | null;
}

/** Adds a task with the context of its enqueue. */
type AddTask = (carrier?: Carrier) => Promise<EnqueuedTask>;

/** The calls of a producer that add tasks. They reject with the errors that the producer's methods name. */
export class EnqueueCalls {
  readonly #known = new Map<string, AnyDefinition>();

  constructor(private readonly options: EnqueueCallsOptions) {}

  /** Returns the definition that this producer last enqueued a task of this name with; null if it did not. */
  definitionOf(name: string): AnyDefinition | null {
    return this.#known.get(name) ?? null;
  }

  async enqueue(given: unknown, input: unknown, options: EnqueueOptions | undefined): Promise<EnqueuedTask> {
    const { enqueuer, limits } = this.options;
    const [definition, asked] = [definitionOf(given), optionsOf(options)];
    return this.#adding(definition, asked.id, (carrier) =>
      enqueuer.enqueue(traced(prepareTask(definition, input, asked, limits), carrier)),
    );
  }

  async enqueueChild(parent: ParentTask, given: AnyDefinition, input: unknown, options: ChildOptions | undefined): Promise<EnqueuedTask> {
    const { enqueuer, limits } = this.options;
    const [definition, asked] = [definitionOf(given), optionsOf(options)];
    if (!isObject(parent)) throw badArgument('INVALID_OPTION', 'parent', 'a task', parent);
    return this.#adding(
      definition,
      asked.id,
      (carrier) => enqueuer.enqueue(traced(prepareChild(parent, definition, input, asked, limits), carrier)),
      parent,
    );
  }

  async enqueueMany(given: unknown, tasks: Iterable<{ readonly input: unknown } & EnqueueOptions>): Promise<EnqueuedTask[]> {
    const { limits, definitions: _definitions, telemetry, ...parts } = this.options;
    const definition = definitionOf(given);
    const all = tasksOf(tasks);
    const addAll = (carrier?: Carrier): Promise<EnqueuedTask[]> =>
      enqueueMany({
        ...parts,
        prepare: () => all.map(({ input, options }) => traced(prepareTask(definition, input, options, limits), carrier)),
      });
    const { queue, name } = definition;
    const added = await (telemetry ? telemetry.send({ queue, name, count: all.length }, addAll) : addAll());
    this.#note(definition);
    return added;
  }

  #note(definition: AnyDefinition): void {
    this.#known.set(definition.name, definition);
    this.options.definitions.note(definition);
  }

  #adding(definition: AnyDefinition, id: string | undefined, work: AddTask, parent?: ParentTask): Promise<EnqueuedTask> {
    const { telemetry } = this.options;
    if (telemetry === null) return this.#added(definition, id, work);
    const { queue, name } = definition;
    const start = { queue, name, count: null, parent: parent?.span?.carrier };
    return telemetry.send(start, (carrier) => this.#added(definition, id, () => work(carrier)));
  }

  async #added(definition: AnyDefinition, id: string | undefined, work: () => Promise<EnqueuedTask>): Promise<EnqueuedTask> {
    const { calls, store } = this.options;
    try {
      const added = await calls.enqueuing(definition.queue, work);
      this.#note(definition);
      return added;
    } catch (error) {
      // An error without `details.exists` was thrown before the first write.
      throw enqueueFailure(store.redis, error, id ?? null, id === undefined ? false : 'unknown');
    }
  }
}

/** Returns the task with the context of its enqueue, the same object without one. */
export function traced(task: PreparedTask, carrier: Carrier | undefined): PreparedTask {
  return carrier === undefined ? task : { ...task, carrier };
}
