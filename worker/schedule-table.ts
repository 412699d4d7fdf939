import type { Schedule } from '../shared/schedule/schedule.js';
import type { Settings } from '../shared/settings.js';
import { modelsRefresh, registryReconcile, sessionPoolClean, usagePoolClean } from '../shared/task/builtin/index.js';
import type { AnyDefinition, Retention } from '../shared/task/definition.js';

/** Something that the fleet does by itself. */
export interface FleetSchedule extends Schedule {
  /** Whether it is also done when a worker starts. */
  readonly atStart: boolean;
}

/** Everything that the fleet does by itself. None of it takes an input. */
export function scheduleTable({ reconcileMs, usageCleanMs, sessionCleanMs, modelsRefreshMs }: Settings): readonly FleetSchedule[] {
  return [
    every(reconcileMs, registryReconcile),
    every(usageCleanMs, usagePoolClean),
    every(sessionCleanMs, sessionPoolClean),
    every(modelsRefreshMs, modelsRefresh, { atStart: true }),
  ];
}

/** A list of ended tasks should be of what users enqueued; what a run did is in the log. */
const NOT_KEPT: Retention = { ageMs: 60_000, count: 0 };

function every(everyMs: number, task: AnyDefinition, { atStart = false } = {}): FleetSchedule {
  const definition = { ...task, retention: { ...task.retention, completed: NOT_KEPT } };
  return { id: task.name, definition, data: '{}', item: '', everyMs, cron: null, timeZone: null, jitterMs: 0, overlap: 'skip', atStart };
}
