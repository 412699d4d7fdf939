import type { z } from 'zod';
import { describeValue } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import type { ChildEnqueuer, EnqueueChild, TaskContext } from '../../shared/task/handler.js';
import { hasCodec } from '../../shared/task/payload/payload-schema.js';
import { encodeOutput } from '../../shared/task/payload/payload.js';
import type { TaskOutput } from './output.js';
import type { Run } from './run.js';
import type { Spending } from './spending.js';

interface RunContextOptions<Input> {
  readonly run: Run;
  readonly attempt: number;
  readonly input: Input;
  /** The schema of the chunks; null if they are not checked, or were in the handler's thread. */
  readonly chunk: z.ZodType | null;
  /** Creates the output on first use. */
  readonly output: () => Pick<TaskOutput, 'emit' | 'progress'>;
  /** Creates the attempt's spending on first use; null without a rate that has a cost. */
  readonly spending: () => Pick<Spending, 'spend'> | null;
  readonly producer: ChildEnqueuer | null;
  /** Creates the logger on first use. */
  readonly log: () => Logger;
}

/** The context of a handler in the main thread. Logger, signal and output are created on first use. */
export class RunContext<Input> implements TaskContext<Input> {
  readonly id: string;
  readonly name: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly input: Input;
  readonly #run: Run;
  readonly #chunk: z.ZodType | null;
  readonly #output: () => Pick<TaskOutput, 'emit' | 'progress'>;
  readonly #spending: () => Pick<Spending, 'spend'> | null;
  readonly #producer: ChildEnqueuer | null;
  readonly #newLog: () => Logger;
  #log: Logger | null = null;

  constructor({ run, attempt, input, chunk, output, spending, producer, log }: RunContextOptions<Input>) {
    this.id = run.id;
    this.name = run.name;
    this.item = run.item || null;
    this.attempt = attempt;
    this.input = input;
    this.#run = run;
    this.#chunk = chunk;
    this.#output = output;
    this.#spending = spending;
    this.#producer = producer;
    this.#newLog = log;
  }

  get signal(): AbortSignal {
    return this.#run.signal;
  }

  get log(): Logger {
    this.#log ??= this.#newLog();
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
      if (this.#run.ended) return;
      const schema = this.#chunk;
      if (schema === null) this.#output().emit(chunk);
      else this.#output().emit(encodeOutput('chunk', this.name, schema, chunk), hasCodec(schema));
    };
  }

  get spend(): TaskContext['spend'] {
    return (cost) => {
      if (this.#run.ended) return;
      const checked = checkCost(cost);
      this.#spending()?.spend(checked);
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

/** @throws TypeError if the cost is not a finite number from 0 */
export function checkCost(cost: unknown): number {
  if (typeof cost === 'number' && Number.isFinite(cost) && cost >= 0) return cost;
  throw new TypeError(`context.spend: expected a number from 0, got ${describeValue(cost)}`);
}
