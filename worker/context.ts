import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/logger.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { ChildEnqueuer, EnqueueChild, TaskContext } from '../shared/task/handler.js';
import type { Run } from './run.js';
import type { TaskOutput } from './task-output.js';

export interface RunContextOptions<Input> {
  readonly run: Run;
  readonly attempt: number;
  readonly input: Input;
  /** Makes the output when it is first needed. */
  readonly output: () => TaskOutput;
  readonly producer: ChildEnqueuer | null;
  readonly logger: Logger;
}

/** The context of a handler in this thread. Logger, signal and output are made when they are first used. */
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

  // Handlers take what they need from their context, `({ input, emit }) => …`: these work on their own. A run that has
  // ended is not heard: asked for its output now, it could get a new one.
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
        throw new FleetError(
          'NO_PRODUCER',
          'context.enqueue: this worker was given no producer; start it with createWorker({ …, producer }).',
        );
      return this.#producer.enqueueChild(run, definition as AnyDefinition, input, options);
    };
  }
}

/** @throws TypeError for what is neither a finite number nor an object */
export function checkProgress(value: unknown): number | object {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'object' && value !== null) return value;
  throw new TypeError(`context.progress: expected a number or an object, got ${value === null ? 'null' : typeof value}`);
}
