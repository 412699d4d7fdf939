import { Registry, collectDefaultMetrics } from 'prom-client';

let registry: Registry | null = null;

/**
 * Returns this process's memory, CPU and event-loop metrics from prom-client, under `taskfleet_dashboard_`. The registry is created on
 * first use and kept: prom-client's observers cannot be removed.
 */
export function processMetrics(): Promise<string> {
  if (!registry) {
    registry = new Registry();
    collectDefaultMetrics({ register: registry, prefix: 'taskfleet_dashboard_' });
  }
  return registry.metrics();
}
