import type { Store } from '../../shared/store.js';
import type { Telemetry } from '../../shared/tracing/telemetry.js';
import { queueSamples } from './queue-samples.js';

/** Reports the depth of each queue to OpenTelemetry. Every dashboard of a fleet reports the same. Returns a function that ends it. */
export function observeQueues(telemetry: Telemetry, store: Store): () => void {
  const read = async () => {
    const samples = await queueSamples(store);
    return samples.flatMap(({ metric, labels, value }) =>
      metric === 'taskfleet_queue_jobs'
        ? [{ value, attributes: { 'messaging.destination.name': labels['queue'] ?? '', 'taskfleet.queue.state': labels['state'] ?? '' } }]
        : [],
    );
  };
  return telemetry.observe([
    {
      ...{ name: 'taskfleet.queue.depth', unit: '{task}', about: 'Tasks of each queue by state' },
      // A queue that cannot be read has no value.
      read: () => read().catch(() => []),
    },
  ]);
}
