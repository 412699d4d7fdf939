import { uuidv7 } from 'uuidv7';
import { type PreparedTask, prepareTask } from '../../producer/enqueue/prepare.js';
import { FleetError } from '../../shared/errors.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { type Settings, resolveSettings } from '../../shared/settings/settings.js';
import { LockLost, ShuttingDown } from '../../shared/stop/cause.js';
import type { HandlerOf, TaskHandler } from '../../shared/task/handler.js';
import { validate } from '../../shared/task/payload/payload.js';
import { shardOf } from '../../shared/task/shards.js';
import { readHooks, readMiddleware } from '../../worker/hooks/extensions.js';
import { HookCaller } from '../../worker/hooks/hook-caller.js';
import { composeMiddleware } from '../../worker/hooks/middleware.js';
import { checkHandler } from '../../worker/modules/check-handler.js';
import { RunContext } from '../../worker/run/context.js';
import { Escalation } from '../../worker/run/escalation.js';
import { HandlerCalls } from '../../worker/run/handler-call.js';
import { childOf, split } from '../../worker/run/log/split-logger.js';
import { ActiveRuns } from '../../worker/run/run.js';
import { Threads } from '../../worker/run/threads/threads.js';
import type { LoadedHandler } from '../../worker/task-modules.js';
import { Children } from './children.js';
import type { HandlerRun } from './handler-run.js';
import { Moments } from './moments.js';
import { ObservedRun } from './observed-run.js';
import { DEFAULT_GRACE_MS, type RunHandlerOptions, checkRunOptions } from './options.js';
import { Recorder } from './recorder.js';
import { TestJob, endOf } from './test-job.js';

const SILENT = { logLevel: 'silent' } as const;

/**
 * Runs one attempt of a handler without Redis, by the code of a worker: the same checks of input, chunks, output and children, the same
 * hooks and middleware, and the same causes of an abort. Resolves when the handler has ended, or was given up `graceMs` after an abort that
 * it ignored.
 * @throws FleetError as `producer.enqueue` for a task that could not be enqueued; `INVALID_OPTION`, `INVALID_DEFINITION`
 */
export async function runHandler<Input, Output, Parsed, Chunk>(
  given: HandlerOf<Input, Output, Parsed, Chunk>,
  input: Input,
  options: RunHandlerOptions<Chunk> = {},
): Promise<HandlerRun<Output, Chunk>> {
  const handler = checkHandler(given);
  checkRunOptions(options, handler.definition);
  const settings = resolveSettings({ ...SILENT, stopGraceMs: options.graceMs ?? DEFAULT_GRACE_MS, threads: 1 });
  const { id = uuidv7(), item, tags } = options;
  const limits = { maxInputBytes: settings.maxInputBytes, clock: Date };
  const task = prepareTask(handler.definition, input, { id, item, tags }, limits);
  const children = new Children(limits);
  const moments = new Moments();
  try {
    const end = await attempt({ handler, task, id, settings, options: options as RunHandlerOptions, children, moments });
    return end as HandlerRun<Output, Chunk>;
  } finally {
    moments.clear();
  }
}

interface AttemptOptions {
  readonly handler: TaskHandler;
  readonly task: PreparedTask;
  readonly id: string;
  readonly settings: Settings;
  readonly options: RunHandlerOptions;
  readonly children: Children;
  readonly moments: Moments;
}

async function attempt({ handler, task, id, settings, options, children, moments }: AttemptOptions): Promise<HandlerRun> {
  const { definition } = handler;
  const recorder = new Recorder(definition, (chunk) => {
    options.onChunk?.(chunk);
    moments.chunkEmitted();
  });
  const run = new ObservedRun({
    ...{ id, queue: shardOf(definition, id), name: definition.name, item: task.item, tags: task.tags },
    ...{ token: id, lockMs: Infinity, lockedAt: Date.now(), clock: Date },
  });
  const job = new TestJob(handler, task, run, options);
  const loggers = createLoggerFactory({ settings: { ...settings, ...SILENT }, destination: { write: () => undefined } });
  const logger = loggers('worker');
  const taskLogger = split(loggers('task'), 'trace', Date) ?? logger;
  const hooks = HookCaller.of({ hooks: [readHooks(options.hooks ?? {})], workerId: 'test', clock: Date, logger });
  const runs = new ActiveRuns();
  const middleware = composeMiddleware(readMiddleware(options.use ?? []));
  const escalation = new Escalation({ runs, stopGraceMs: settings.stopGraceMs, clock: Date, logger, middleware });
  const calls = new HandlerCalls({ escalation, hooks, maxResultBytes: settings.maxResultBytes });
  const parsed = validate(definition.input, job.data);
  if (!parsed.ok) throw new FleetError('INVALID_INPUT', `Bad input for ${definition.name}: ${parsed.problem}`);
  const isInThread = options.module !== undefined;
  if (isInThread && !handler.isolated(parsed.value))
    throw new FleetError('INVALID_OPTION', `Bad module: the handler of ${definition.name} does not isolate this input; leave it out.`, {
      details: { field: 'module' },
    });
  const threads = isInThread ? new Threads(settings, logger) : null;
  const context = new RunContext({
    ...{ run, attempt: job.attempt, input: parsed.value, chunk: threads ? null : definition.chunk },
    output: () => recorder,
    spending: () => recorder,
    producer: options.producer ?? children,
    log: () => childOf(taskLogger, { id, name: run.name, attempt: job.attempt, writer: () => (run.ended ? null : recorder) }),
  });
  let thrown: unknown;
  const loaded: LoadedHandler = {
    ...handler,
    definition: { ...definition, timeoutMs: options.timeoutAfter ?? definition.timeoutMs },
    source: { moduleUrl: String(options.module ?? ''), name: definition.name },
    handle: async (given) => {
      try {
        return await handler.handle(given);
      } catch (error) {
        thrown = error;
        throw error;
      }
    },
  };
  runs.track(run);
  interrupt(run, moments, options);
  try {
    const outcome = await calls.call(run, job, loaded, context, { threads, deadline: null });
    const endedAt = performance.now();
    run.end();
    const end = endOf(outcome, job);
    if (hooks && job.isFinished(end)) hooks.jobFinished(job, end.state, end.error);
    await hooks?.idle();
    const abandoned = runs.zombies > 0 || (threads !== null && run.abortedAt !== null && endedAt - run.abortedAt >= settings.stopGraceMs);
    const abort =
      run.cause === null
        ? null
        : {
            cause: run.cause,
            abandoned,
            heeded: !abandoned && (threads !== null || run.signalWasRead || thrown === run.cause),
            endedAfterMs: endedAt - (run.abortedAt ?? endedAt),
          };
    return {
      ...{ id, attempt: job.attempt, ...end, thrown, abort, heededSignal: abort?.heeded ?? null, children: children.enqueued },
      ...{ chunks: recorder.chunks, progress: recorder.progresses as HandlerRun['progress'], logs: recorder.lines, costs: recorder.costs },
    };
  } finally {
    await threads?.close();
  }
}

/** Plans the aborts that the options ask for. */
function interrupt(run: ObservedRun, moments: Moments, { stopAfter, stop, worker, workerAfter = 0 }: RunHandlerOptions): void {
  const { reason = null, by = null } = stop ?? {};
  if (stopAfter !== undefined) moments.at(stopAfter, () => run.requestStop({ reason, by, at: Date.now() }));
  if (worker !== undefined) moments.at(workerAfter, () => run.abort(worker === 'lost' ? new LockLost() : new ShuttingDown()));
}
