import type { Attributes, Counter, Histogram, Meter, ObservableGauge } from '@opentelemetry/api';
import type { Gauge } from '../shared/tracing/telemetry.js';
import { NAMES, SYSTEM } from './names.js';

/** Bucket bounds in seconds. Those of the messaging conventions end at 10 s; tasks run for minutes. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3_600];

/** The instruments. Their attributes are names of tasks, queues, operations and outcomes: never ids, items or messages of errors. */
export class Instruments {
  readonly #meter: Meter;
  readonly #sent: Counter;
  readonly #consumed: Counter;
  readonly #operations: Histogram;
  readonly #processing: Histogram;
  readonly #waits: Histogram;
  readonly #stops: Histogram;

  constructor(meter: Meter) {
    this.#meter = meter;
    this.#sent = meter.createCounter('messaging.client.sent.messages', {
      unit: '{message}',
      description: 'Tasks that producers tried to enqueue',
    });
    this.#consumed = meter.createCounter('messaging.client.consumed.messages', {
      unit: '{message}',
      description: 'Attempts that workers started',
    });
    this.#operations = histogram(meter, 'messaging.client.operation.duration', 'Duration of enqueues and stops');
    this.#processing = histogram(meter, 'messaging.process.duration', 'Duration of attempts');
    this.#waits = histogram(meter, 'taskfleet.task.wait.duration', 'Wait of tasks for an attempt');
    this.#stops = histogram(meter, 'taskfleet.stop.latency', 'Time from the record of a stop to the end of its task');
  }

  sent(count: number, attributes: Attributes): void {
    this.#sent.add(count, { [NAMES.system]: SYSTEM, ...attributes });
  }

  operated(ms: number, attributes: Attributes): void {
    this.#operations.record(ms / 1_000, { [NAMES.system]: SYSTEM, ...attributes });
  }

  started(waitedMs: number, attributes: Attributes): void {
    const all = { [NAMES.system]: SYSTEM, ...attributes };
    this.#consumed.add(1, all);
    this.#waits.record(waitedMs / 1_000, all);
  }

  processed(ms: number, attributes: Attributes): void {
    this.#processing.record(ms / 1_000, { [NAMES.system]: SYSTEM, ...attributes });
  }

  stopped(ms: number, attributes: Attributes): void {
    this.#stops.record(ms / 1_000, { [NAMES.system]: SYSTEM, ...attributes });
  }

  /** Adds gauges. Returns a function that removes them. */
  observe(gauges: readonly Gauge[]): () => void {
    const ends = gauges.map(({ name, unit, about, read }) => {
      const gauge = this.#meter.createObservableGauge(name, { unit, description: about });
      const callback: Parameters<ObservableGauge['addCallback']>[0] = async (result) => {
        for (const { value, attributes } of await read()) result.observe(value, attributes);
      };
      gauge.addCallback(callback);
      return () => gauge.removeCallback(callback);
    });
    return () => ends.forEach((end) => end());
  }
}

function histogram(meter: Meter, name: string, description: string): Histogram {
  return meter.createHistogram(name, { unit: 's', description, advice: { explicitBucketBoundaries: BOUNDS } });
}
