/** A metric, as `/metrics` and docs/metrics.md describe it. Units are Prometheus's: seconds and bytes. */
export interface MetricAbout {
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly labels: readonly string[];
}

function counter(help: string, ...labels: string[]): MetricAbout {
  return { type: 'counter', help, labels };
}

function gauge(help: string, ...labels: string[]): MetricAbout {
  return { type: 'gauge', help, labels };
}

function histogram(help: string, ...labels: string[]): MetricAbout {
  return { type: 'histogram', help, labels };
}

/** All metrics of the fleet. No label has the id of a task or an item: there would be no end of them. */
export const METRICS = {
  taskfleet_tasks_enqueued_total: counter('Tasks that were added.', 'queue', 'name'),
  taskfleet_tasks_retried_total: counter('Ended tasks that were brought back.', 'queue', 'name'),
  taskfleet_tasks_finished_total: counter('Tasks that ended, by outcome: completed, failed or cancelled.', 'queue', 'name', 'outcome'),
  taskfleet_task_wait_seconds: histogram('From when a task could start until a worker first fetched it.', 'queue'),
  taskfleet_task_run_seconds: histogram('How long attempts took.', 'queue', 'name'),
  taskfleet_stops_total: counter(
    'Stops: cancelled, with how they reached the task; finished or not_found for what had ended or never was.',
    'outcome',
    'via',
  ),
  taskfleet_stop_latency_seconds: histogram(
    'From the record of a stop until its worker heard of it (delivered), or its job ended (settled).',
    'phase',
  ),
  taskfleet_reconciler_repairs_total: counter('What the reconciler put right, by kind.', 'kind'),
  taskfleet_unreadable_records_total: counter(
    'Records in Redis that a process could not read, by kind; once for each record, hour and process.',
    'kind',
  ),
  taskfleet_tasks_live: gauge('Tasks in the registry, those of other programs too.'),
  taskfleet_tasks_foreign: gauge('Tasks in the registry that other programs run.'),
  taskfleet_queue_jobs: gauge('Jobs of a queue by the place where BullMQ has them.', 'queue', 'state'),
  taskfleet_queue_oldest_wait_seconds: gauge('How long the first in line of a queue has waited; 0 if nothing waits.', 'queue'),
  taskfleet_stops_open: gauge('Running tasks whose stop is recorded and not settled.', 'queue'),
  taskfleet_stop_oldest_open_seconds: gauge('Age of the oldest of these stops; 0 if there is none.'),
  taskfleet_workers: gauge('Workers whose heartbeat holds.'),
  taskfleet_workers_subscribed: gauge('Workers that hear stop commands at once; the others find stops by polling.'),
  taskfleet_workers_draining: gauge('Workers that shut down.'),
  taskfleet_workers_silent: gauge('Workers that fell silent within the last hour, without a farewell.'),
  taskfleet_workers_clock_offset_seconds: gauge("The largest difference between the clock of a worker's machine and that of Redis."),
  taskfleet_slots: gauge('Tasks that the workers can run at once.'),
  taskfleet_slots_busy: gauge('Tasks that the workers run.'),
  taskfleet_zombies: gauge('Handlers that were given up and still run.'),
  taskfleet_schedules: gauge('Schedules, the own ones of the fleet among them.'),
  taskfleet_schedules_without_next: gauge('Schedules without a next task.'),
  taskfleet_schedules_late: gauge('Schedules whose next task was due half a minute ago.'),
  taskfleet_reconciler_last_run_timestamp_seconds: gauge('When the reconciler last finished a run.'),
  taskfleet_redis_up: gauge('Whether Redis answered in time. If not, what is in Redis is missing here.'),
  taskfleet_redis_memory_used_bytes: gauge('Memory that Redis uses.'),
  taskfleet_redis_memory_max_bytes: gauge('Memory that Redis may use; 0 for no limit.'),
  taskfleet_scrape_part_ok: gauge('Whether a part of this page could be read.', 'part'),
  taskfleet_scrape_duration_seconds: gauge('How long it took to read what is on this page.'),
} as const satisfies Record<string, MetricAbout>;

export type MetricName = keyof typeof METRICS;
