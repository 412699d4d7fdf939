import type { Settings } from '../shared/settings.js';
import { registryReconcile } from '../shared/task/builtin/index.js';
import type { AnyDefinition } from '../shared/task/definition.js';

/** A task that the fleet enqueues by itself, again and again. */
export interface Schedule {
  /** Unique. The ids of its tasks are `repeat:<id>:<ms>`. */
  readonly id: string;
  readonly definition: AnyDefinition;
  readonly input: unknown;
  readonly everyMs: number;
}

/** Everything that the fleet does by itself. */
export function scheduleTable({ reconcileMs }: Settings): readonly Schedule[] {
  return [{ id: registryReconcile.name, definition: registryReconcile, input: {}, everyMs: reconcileMs }];
}
