import { userInfo } from 'node:os';
import {
  type EnqueueOptions,
  type EnqueuedTask,
  type EventOptions,
  type ListOptions,
  type PlanList,
  type Producer,
  type StopItemOptions,
  type StopOptions,
  type StopReceipt,
  type TaskEvent,
  type TaskPage,
  type TaskView,
  type WaitOptions,
  createProducer,
} from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import { createLoggerFactory } from '../../shared/logger.js';
import type { Settings } from '../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../shared/store.js';
import type { AnyDefinition, TaskDefinition } from '../../shared/task/definition.js';
import { BUILTIN_DEFINITIONS } from '../../worker/builtin/definitions.js';
import { loadTaskModules } from '../../worker/task-modules.js';
import type { Io } from '../io.js';
import type { FleetClient, ScheduleClient } from './client.js';

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

  stop(ids: readonly string[], options: StopOptions): Promise<StopReceipt[]> {
    return this.producer.stop(ids, { ...options, by: options.by ?? userName() });
  }

  stopItem(item: string, options: StopItemOptions): Promise<StopReceipt[]> {
    return this.producer.stopItem(item, { ...options, by: options.by ?? userName() });
  }

  retry(ids: readonly string[]): Promise<TaskView[]> {
    return this.producer.retry(ids);
  }

  result<Output = unknown>(task: string | EnqueuedTask<Output>, options?: Pick<WaitOptions, 'signal'>): Promise<Output> {
    return this.producer.result(task, options);
  }

  events(id: string, options?: EventOptions): AsyncGenerator<TaskEvent, void, undefined> {
    return this.producer.events(id, options);
  }

  plans(): Promise<PlanList> {
    return this.producer.billing.plans();
  }

  /** @throws FleetError `UNKNOWN_TASK`, listing the known names; `INVALID_TASK_MODULE` */
  async #definitionOf(name: string): Promise<AnyDefinition> {
    const handlers = await loadTaskModules(this.settings, this.cwd);
    const definitions = new Map(
      [...BUILTIN_DEFINITIONS, ...[...handlers.values()].map(({ definition }) => definition)].map((one) => [one.name, one]),
    );
    const definition = definitions.get(name);
    if (definition) return definition;
    const known = [...definitions.keys()].sort();
    const message = `Unknown task ${JSON.stringify(name)}. Known: ${known.join(', ')}. Set TASK_MODULES to the modules that define others.`;
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
