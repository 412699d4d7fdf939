import type { AnyDefinition } from '../../shared/task/definition.js';
import type { TaskContext } from '../../shared/task/handler.js';
import { decodeOutput, encodeOutput } from '../../shared/task/payload/payload.js';
import { endSpan } from '../hooks/attempt-span.js';
import type { HookCaller, HookedJob } from '../hooks/hook-caller.js';
import type { LoadedHandler } from '../task-modules.js';
import type { Escalation } from './escalation.js';
import { type HandlerEnd, type Outcome, decideOutcome, failWith } from './outcome.js';
import { resultJson } from './output.js';
import type { Run } from './run.js';
import type { Threads } from './threads/threads.js';

/** The job of a run, or its double in a test. */
export interface CalledJob extends HookedJob {
  /** The stored input. */
  readonly data: unknown;
  /** The handler's result as JSON; null until the handler has returned. */
  resultJson: string | null;
}

interface HandlerCallsOptions {
  readonly escalation: Escalation;
  /** Null for none. */
  readonly hooks: HookCaller | null;
  readonly maxResultBytes: number;
}

/** Where a handler runs. */
interface Place {
  /** Null for the main thread. */
  readonly threads: Threads | null;
  /** In ms since the epoch; a handler that no thread has started by then is not started. Null for none. */
  readonly deadline: number | null;
}

/** Calls the handlers of tasks that may start, with their hooks, and decides the outcomes. */
export class HandlerCalls {
  constructor(private readonly options: HandlerCallsOptions) {}

  async call(run: Run, job: CalledJob, handler: LoadedHandler, context: TaskContext, { threads, deadline }: Place): Promise<Outcome> {
    const { hooks, escalation } = this.options;
    const start = hooks && hooks.attemptStarted(job, context);
    const { span } = run;
    const callHandler = (): Promise<HandlerEnd> =>
      threads
        ? escalation.inThread(run, handler, context, { threads, data: job.data, deadline })
        : escalation.inProcess(run, handler, context);
    const end = await (span ? span.run(callHandler) : callHandler());
    const outcome = this.#checkOutput(job, handler.definition, decideOutcome(run.cause, end, handler.definition), threads !== null);
    const timedOut = run.cause?.kind === 'timeout';
    if (start && outcome.kind !== 'skip') hooks?.attemptEnded(start, outcome, timedOut);
    if (span) endSpan(span, outcome, timedOut);
    return outcome;
  }

  /** @param encoded whether a thread has encoded the output; middleware may have changed it since */
  #checkOutput(job: CalledJob, { name, output }: AnyDefinition, outcome: Outcome, encoded: boolean): Outcome {
    if (outcome.kind !== 'complete') return outcome;
    try {
      if (output !== null && encoded) decodeOutput('output', name, output, outcome.value);
      const value = output === null || encoded ? outcome.value : encodeOutput('output', name, output, outcome.value);
      job.resultJson = resultJson(name, value, this.options.maxResultBytes);
      return outcome;
    } catch (error) {
      return failWith(error);
    }
  }
}
