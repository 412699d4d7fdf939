import { type Metric, Registry } from 'prom-client';
import { METRICS, type MetricName } from './catalogue.js';

type Labels = Readonly<Record<string, string>>;

export interface Sample {
  readonly metric: MetricName;
  readonly labels: Labels;
  readonly value: number;
  /** The series of a histogram. */
  readonly series?: 'bucket' | 'sum' | 'count';
}

export const CONTENT_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

export function sample(metric: MetricName, value: number, labels: Labels = {}): Sample {
  return { metric, labels, value };
}

/**
 * Formats samples as text for Prometheus, with a registry per response: the values are not counted in this process, and concurrent
 * responses must not mix.
 */
export function formatSamples(samples: readonly Sample[]): Promise<string> {
  const registry = new Registry();
  const byMetric = new Map<MetricName, Sample[]>();
  for (const one of samples) {
    const group = byMetric.get(one.metric);
    if (group) group.push(one);
    else byMetric.set(one.metric, [one]);
  }
  for (const [name, { type, help }] of Object.entries(METRICS)) {
    const values = (byMetric.get(name as MetricName) ?? []).map(({ labels, value, series }) => ({
      labels,
      value,
      ...(series && { metricName: `${name}_${series}` }),
    }));
    // The part of the metric interface that the registry uses.
    const metric = { name, get: () => Promise.resolve({ name, type, help, values, aggregator: 'sum' }) };
    registry.registerMetric(metric as unknown as Metric);
  }
  return registry.metrics();
}
