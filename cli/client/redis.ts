import { userInfo } from 'node:os';
import {
  type BulkResult,
  type EnqueueOptions,
  type EnqueuedTask,
  type EventOptions,
  type ListOptions,
  type LogLine,
  type LogOptions,
  type PlanList,
  type Producer,
  type StopItemOptions,
  type StopOptions,
  type StopReceipt,
  type TaskCount,
  type TaskEvent,
  type TaskFilter,
  type TaskPage,
  type TaskView,
  type WaitOptions,
  createProducer,
} from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import type { Settings } from '../../shared/settings/settings.js';
import { didYouMean } from '../../shared/similar.js';
import type { ConnectedSettings } from '../../shared/store.js';
import type { AnyDefinition, TaskDefinition } from '../../shared/task/definition.js';
import type { Io } from '../io.js';
import type { BulkCall, FleetClient, LimitClient, QueueClient, ScheduleClient, WorkerClient } from './client.js';

/** Runs `work` with a client that owns its producer, then closes both. */
export async function withRedisClient<Value>(
  { log, cwd }: Io,
  settings: ConnectedSettings,
  work: (client: FleetClient) => Promise<Value>,
): Promise<Value> {
  const loggers = createLoggerFactory({ settings, ...log });
  const producer = createProducer({ ...settings, loggers });
  try {
    return await work(new RedisClient(producer, settings, cwd));
  } finally {
    await producer.close();
  }
}

/** A fleet client over Redis: a producer, plus the definitions of TASK_MODULES to enqueue tasks by name. */
class RedisClient implements FleetClient {
  /** The caller owns, and closes, the producer. */
  constructor(
    private readonly producer: Producer,
    private readonly settings: Settings,
    /** Base of the relative paths in TASK_MODULES. */
    private readonly cwd: string,
  ) {}

  get schedules(): ScheduleClient {
    return this.producer.schedules;
  }

  get limits(): LimitClient {
    return this.producer.limits;
  }

  get queues(): QueueClient {
    const { queues } = this.producer;
    return {
      list: () => queues.list(),
      pause: (name, options) => queues.pause(name, { ...options, by: options.by ?? userName() }),
      resume: (name) => queues.resume(name),
    };
  }

  get workers(): WorkerClient {
    const { workers } = this.producer;
    return {
      list: () => workers.list(),
      drain: (id, options) => workers.drain(id, { ...options, by: options.by ?? userName() }),
      resume: (id) => workers.resume(id),
    };
  }

  /** @throws also FleetError `INVALID_TASK_MODULE` */
  async enqueue<Input, Output>(
    task: string | TaskDefinition<Input, Output, unknown>,
    input: Input,
    options?: EnqueueOptions,
  ): Promise<EnqueuedTask<Output>> {
    const definition = typeof task === 'string' ? ((await this.#definitionOf(task)) as TaskDefinition<Input, Output, unknown>) : task;
    return this.producer.enqueue(definition, input, options);
  }

  get(id: string): Promise<TaskView | null> {
    return this.producer.get(id);
  }

  list(options: ListOptions): Promise<TaskPage> {
    return this.producer.list(options);
  }

  count(filter: TaskFilter): Promise<TaskCount> {
    return this.producer.count(filter);
  }

  stop(ids: readonly string[], options: StopOptions): Promise<StopReceipt[]> {
    return this.producer.stop(ids, { ...options, by: options.by ?? userName() });
  }

  stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]> {
    return this.producer.stopItem(item, { ...options, by: options.by ?? userName() });
  }

  retry(ids: readonly string[]): Promise<TaskView[]> {
    return this.producer.retry(ids);
  }

  stopWhere(filter: TaskFilter, call: BulkCall & Pick<StopOptions, 'reason' | 'by'>): Promise<BulkResult> {
    return this.producer.stopWhere(filter, { ...call, by: call.by ?? userName() });
  }

  retryWhere(filter: TaskFilter, call: BulkCall): Promise<BulkResult> {
    return this.producer.retryWhere(filter, call);
  }

  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: Pick<WaitOptions, 'signal'>): Promise<Output> {
    return this.producer.result(task, options);
  }

  events(id: string, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined> {
    return this.producer.events(id, options);
  }

  logs(id: string, options?: LogOptions): AsyncGenerator<LogLine, void, undefined> {
    return this.producer.logs(id, options);
  }

  plans(): Promise<PlanList> {
    return this.producer.billing.plans();
  }

  /** @throws FleetError `UNKNOWN_TASK`, listing the known names; `INVALID_TASK_MODULE` */
  async #definitionOf(name: string): Promise<AnyDefinition> {
    // Loaded only to enqueue: loading dominates the start-up of a command.
    const [{ BUILTIN_DEFINITIONS }, { loadTaskModules }] = await Promise.all([
      import('../../worker/builtin/definitions.js'),
      import('../../worker/task-modules.js'),
    ]);
    const { handlers } = await loadTaskModules(this.settings, this.cwd);
    const definitions = new Map(
      [...BUILTIN_DEFINITIONS, ...[...handlers.values()].map(({ definition }) => definition)].map((one) => [one.name, one]),
    );
    const definition = definitions.get(name);
    if (definition) return definition;
    const known = [...definitions.keys()].sort();
    const hint = 'Set TASK_MODULES to the modules that define others.';
    const message = `Unknown task ${JSON.stringify(name)}.${didYouMean(name, known)} Known: ${known.join(', ')}. ${hint}`;
    throw new FleetError('UNKNOWN_TASK', message, { details: { name, known } });
  }
}

/** Falls back because a container may run under a uid without a name. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}
