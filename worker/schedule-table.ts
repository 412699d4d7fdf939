import type { Schedule } from '../shared/schedule/schedule.js';
import type { Settings } from '../shared/settings/settings.js';
import { modelsRefresh, registryReconcile, sessionPoolClean, usagePoolClean } from './builtin/definitions.js';
import type { AnyDefinition, Retention } from '../shared/task/definition.js';

/** A schedule of one of the fleet's own tasks. */
export interface FleetSchedule extends Schedule {
  /** Whether the task also runs when a worker starts. */
  readonly atStart: boolean;
}

/** Returns the schedules of the fleet's own tasks. None of these tasks has an input. */
export function scheduleTable({ reconcileMs, usageCleanMs, sessionCleanMs, modelsRefreshMs }: Settings): readonly FleetSchedule[] {
  return [
    every(reconcileMs, registryReconcile),
    every(usageCleanMs, usagePoolClean),
    every(sessionCleanMs, sessionPoolClean),
    every(modelsRefreshMs, modelsRefresh, { atStart: true }),
  ];
}

/** The list of finished tasks is for users' tasks; results of the fleet's own are in the log. */
const NOT_KEPT: Retention = { ageMs: 60_000, count: 0 };

function every(everyMs: number, task: AnyDefinition, { atStart = false } = {}): FleetSchedule {
  const definition = { ...task, retention: { ...task.retention, completed: NOT_KEPT } };
  return { id: task.name, definition, data: '{}', item: '', everyMs, cron: null, timeZone: null, jitterMs: 0, overlap: 'skip', atStart };
}
