import type { Logger } from '../shared/logger.js';
import type { TaskContext } from '../shared/task/handler.js';
import type { Run } from './run.js';
import type { TaskOutput } from './task-output.js';

/** The context of a handler in this thread. Logger, signal and output are made when they are first used. */
export class RunContext<Input> implements TaskContext<Input> {
  readonly id: string;
  readonly name: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly input: Input;
  readonly #run: Run;
  readonly #output: () => TaskOutput;
  readonly #logger: Logger;
  #log: Logger | null = null;

  constructor(run: Run, attempt: number, input: Input, output: () => TaskOutput, logger: Logger) {
    this.id = run.id;
    this.name = run.name;
    this.item = run.item || null;
    this.attempt = attempt;
    this.input = input;
    this.#run = run;
    this.#output = output;
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
}

/** @throws TypeError for what is neither a finite number nor an object */
export function checkProgress(value: unknown): number | object {
  if (typeof value === 'number' && Number.isFinite(value)) return value;
  if (typeof value === 'object' && value !== null) return value;
  throw new TypeError(`context.progress: expected a number or an object, got ${value === null ? 'null' : typeof value}`);
}
