import { type Metric, Registry } from 'prom-client';

/** A metric as described in `/metrics` and docs/reference/metrics.md. Units are seconds and bytes, as Prometheus recommends. */
interface MetricDescription {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

function counter(help: string, ...labels: string[]): MetricDescription {
  return { type: 'counter', help, labels };
}

function gauge(help: string, ...labels: string[]): MetricDescription {
  return { type: 'gauge', help, labels };
}

function histogram(help: string, ...labels: string[]): MetricDescription {
  return { type: 'histogram', help, labels };
}

/** The fleet's metrics. No label holds a task id or an item: their number is unbounded. */
export const METRICS = {
  taskfleet_tasks_enqueued_total: counter('Enqueued tasks.', 'queue', 'name'),
  taskfleet_tasks_retried_total: counter('Retries of finished tasks.', 'queue', 'name'),
  taskfleet_tasks_finished_total: counter(
    'Finished tasks by outcome: completed, failed, cancelled or skipped.',
    'queue',
    'name',
    'outcome',
  ),
  taskfleet_task_wait_seconds: histogram('Queue wait: from when a task could start until a worker first fetched it.', 'queue'),
  taskfleet_task_run_seconds: histogram('Duration of attempts.', 'queue', 'name'),
  taskfleet_stops_total: counter(
    'Stops by outcome, with how cancelled tasks were reached; finished or not_found if there was nothing to stop.',
    'outcome',
    'via',
  ),
  taskfleet_stop_latency_seconds: histogram(
    'Stop latency, from the recorded stop to its delivery to the worker (delivered) or the end of the job (settled).',
    'phase',
  ),
  taskfleet_reconciler_repairs_total: counter('Repairs by the reconciler, by kind.', 'kind'),
  taskfleet_unreadable_records_total: counter('Unreadable records in Redis, by kind; counted once per record, hour and process.', 'kind'),
  taskfleet_tasks_live: gauge('Tasks in the registry, including foreign tasks.'),
  taskfleet_tasks_foreign: gauge('Foreign tasks in the registry.'),
  taskfleet_queue_jobs: gauge('Queue depth by BullMQ state, and the jobs that wait for a limit.', 'queue', 'state'),
  taskfleet_queue_paused: gauge('Whether the queue, or one of its shards, is paused.', 'queue'),
  taskfleet_queue_oldest_wait_seconds: gauge(
    'How long the next job in line has waited, or a due job that no worker has moved there; 0 for an empty queue.',
    'queue',
  ),
  taskfleet_tasks_in_line: gauge('Tasks that wait for a limit, by name.', 'name'),
  taskfleet_limit_lines: gauge('Keys of limits whose tasks wait in line.'),
  taskfleet_limit_oldest_wait_seconds: gauge('How long the first task in line has waited, in the oldest lines; 0 without lines.'),
  taskfleet_stops_open: gauge('Running tasks with an unsettled stop.', 'queue'),
  taskfleet_stop_oldest_open_seconds: gauge('Age of the oldest unsettled stop; 0 if there is none.'),
  taskfleet_workers: gauge('Workers with a current heartbeat.'),
  taskfleet_workers_subscribed: gauge('Workers subscribed to stop commands; the others poll for stops.'),
  taskfleet_workers_draining: gauge('Workers that are shutting down.'),
  taskfleet_workers_drained: gauge('Live workers that people drained: they end their tasks and fetch no others.'),
  taskfleet_workers_silent: gauge('Workers lost within the last hour: their heartbeats stopped without a shutdown.'),
  taskfleet_queues_unserved: gauge(
    'Queues with tasks, and the maintenance queue, that no live, undrained worker takes; 0 without workers.',
  ),
  taskfleet_definitions_differing: gauge(
    'Definitions that differ between live workers, or between them and the producers of the last hour.',
  ),
  taskfleet_workers_clock_offset_seconds: gauge("Largest clock difference between a worker's machine and Redis."),
  taskfleet_slots: gauge('Total concurrency of the workers.'),
  taskfleet_slots_busy: gauge('Slots in use.'),
  taskfleet_zombies: gauge('Abandoned handlers that are still running.'),
  taskfleet_schedules: gauge('Schedules, including built-in ones.'),
  taskfleet_schedules_without_next: gauge('Schedules without a next task.'),
  taskfleet_schedules_late: gauge('Schedules whose next task is overdue by more than 30 s, without those of paused queues.'),
  taskfleet_reconciler_last_run_timestamp_seconds: gauge('Time of the last finished reconciler run.'),
  taskfleet_redis_up: gauge('Whether Redis answered in time. If not, metrics read from Redis are missing.'),
  taskfleet_redis_memory_used_bytes: gauge('Memory used by Redis.'),
  taskfleet_redis_memory_max_bytes: gauge('Memory limit of Redis; 0 for no limit.'),
  taskfleet_scrape_part_ok: gauge('Whether a part of this response could be read.', 'part'),
  taskfleet_scrape_duration_seconds: gauge('Duration of this scrape.'),
} as const satisfies Record<string, MetricDescription>;

export type MetricName = keyof typeof METRICS;

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
