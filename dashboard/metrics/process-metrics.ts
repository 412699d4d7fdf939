import { Registry, collectDefaultMetrics } from 'prom-client';

let registry: Registry | null = null;

/**
 * Memory, CPU and event loop of this process, as prom-client collects them, under `taskfleet_dashboard_`. One registry for
 * the process, made when it is first asked for: prom-client observes it from then on, and does not let go of it.
 */
export function processMetrics(): Promise<string> {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry, prefix: 'taskfleet_dashboard_' });
  }
  return registry.metrics();
}
