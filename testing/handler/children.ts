import { uuidv7 } from 'uuidv7';
import { type TaskLimits, prepareChild } from '../../producer/enqueue/prepare.js';
import { definitionOf, optionsOf } from '../../shared/arguments.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildEnqueuer, ChildOptions, ChildTask, ParentTask } from '../../shared/task/handler.js';
import { shardOf } from '../../shared/task/shards.js';

/** A child task that a handler enqueued. */
export interface EnqueuedChild extends ChildTask {
  readonly definition: AnyDefinition;
  /** As JSON carries it. */
  readonly input: unknown;
  /** With those of its parent. */
  readonly tags: readonly string[];
  readonly delay: number;
  readonly priority: number;
  readonly deadline: Date | null;
}

/** Records the children that a handler enqueues, after the checks of a producer. */
export class Children implements ChildEnqueuer {
  readonly enqueued: EnqueuedChild[] = [];

  constructor(private readonly limits: TaskLimits) {}

  async enqueueChild(parent: ParentTask, given: AnyDefinition, input: unknown, options: ChildOptions): Promise<ChildTask> {
    const definition = definitionOf(given);
    const task = prepareChild(parent, definition, input, optionsOf(options), this.limits);
    const id = task.id ?? uuidv7();
    const duplicate = this.enqueued.some((child) => child.id === id);
    const child: ChildTask = { id, name: definition.name, queue: shardOf(definition, id), item: task.item || null, duplicate };
    const { tags, delay, priority, deadline } = task;
    this.enqueued.push({
      ...child,
      ...{ definition, tags, delay, priority },
      input: JSON.parse(task.data) as unknown,
      deadline: deadline === null ? null : new Date(deadline),
    });
    return child;
  }
}
