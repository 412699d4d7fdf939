import type { z } from 'zod';
import { FleetError, messageOf } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { type AnyDefinition, issuesOf } from '../../shared/task/definition.js';
import type { ChildEnqueuer, EnqueueChild, TaskContext } from '../../shared/task/handler.js';
import type { TaskOutput } from './output.js';
import type { Run } from './run.js';

interface RunContextOptions<Input> {
  readonly run: Run;
  readonly attempt: number;
  readonly input: Input;
  /** Creates the output on first use. */
  readonly output: () => TaskOutput;
  readonly producer: ChildEnqueuer | null;
  readonly logger: Logger;
}

/** The context of a handler in the main thread. Logger, signal and output are created on first use. */
export class RunContext<Input> implements TaskContext<Input> {
  readonly id: string;
  readonly name: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly input: Input;
  readonly #run: Run;
  readonly #output: () => TaskOutput;
  readonly #producer: ChildEnqueuer | null;
  readonly #logger: Logger;
  #log: Logger | null = null;

  constructor({ run, attempt, input, output, producer, logger }: RunContextOptions<Input>) {
    this.id = run.id;
    this.name = run.name;
    this.item = run.item || null;
    this.attempt = attempt;
    this.input = input;
    this.#run = run;
    this.#output = output;
    this.#producer = producer;
    this.#logger = logger;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get log(): Logger {
    this.#log ??= this.#logger.child({ task: this.id, name: this.name, attempt: this.attempt });
    return this.#log;
  }

  // Getters that return closures, because handlers destructure their context: `({ input, emit }) => …`. Calls after the end of the run are
  // ignored: asking for the output then could create a new one.
  get progress(): TaskContext['progress'] {
    return (value) => {
      if (!this.#run.ended) this.#output().progress(checkProgress(value));
    };
  }

  get emit(): TaskContext['emit'] {
    return (chunk) => {
      if (!this.#run.ended) this.#output().emit(chunk);
    };
  }

  get enqueue(): EnqueueChild {
    return async (definition, input, options = {}) => {
      const run = this.#run;
      run.checkLock();
      if (run.cause) throw run.cause;
      if (run.ended) throw new FleetError('CLOSED', 'context.enqueue: this run has ended.');
      if (this.#producer === null)
        throw new FleetError('NO_PRODUCER', 'context.enqueue: this worker has no producer; start it with createWorker({ …, producer }).');
      return this.#producer.enqueueChild(run, definition as AnyDefinition, input, options);
    };
  }
}

/** @throws TypeError if the value is neither a finite number nor an object */
export function checkProgress(value: unknown): number | object {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'object' && value !== null) return value;
  throw new TypeError(`context.progress: expected a number or an object, got ${value === null ? 'null' : typeof value}`);
}

type Validated = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly problem: string };

/** Parses a value with its schema. Fails if the schema's own check throws or is asynchronous. */
export function validate(schema: z.ZodType, value: unknown): Validated {
  try {
    const parsed = schema.safeParse(value);
    return parsed.success ? { ok: true, value: parsed.data } : { ok: false, problem: issuesOf(parsed.error) };
  } catch (error) {
    return { ok: false, problem: `its schema failed (${messageOf(error)})` };
  }
}
