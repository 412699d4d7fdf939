import type { Telemetry } from '../../shared/tracing/telemetry.js';
import type { WorkerStatus } from '../../shared/workers/status.js';

/** Reports how busy a worker is. Returns a function that ends it. */
export function observeWorker(telemetry: Telemetry, status: () => Pick<WorkerStatus, 'slots' | 'running'>): () => void {
  const one = (value: number) => [{ value, attributes: {} }];
  return telemetry.observe([
    { name: 'taskfleet.worker.slots', unit: '{task}', about: 'Tasks that the worker can run at once', read: () => one(status().slots) },
    { name: 'taskfleet.worker.running', unit: '{task}', about: 'Tasks that the worker runs', read: () => one(status().running.length) },
  ]);
}
