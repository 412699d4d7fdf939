import { ReplyError } from 'ioredis';
import { isRefusal, isReplyError } from '../../../shared/redis/reply-errors.js';
import type { ExecuteScript } from '../bullmq-overrides.js';

/** Most jobs of a call. Redis runs nothing else meanwhile, and starts while the process prepares the next call. */
const MOST_JOBS = 16;
/** Most jobs of a call while Redis has little to do, since it answers all jobs of a call together. */
const FEW_JOBS = 4;
/** Number of calls without a reply at which Redis has enough to do. */
const ENOUGH_CALLS = 3;
/** Length of the jobs' texts at which a batch is sent before the turn ends, in characters. */
const MOST_TEXT = 16_384;

const REPLY_ERROR = ReplyError as new (message: string) => Error;

export type ScriptArguments = readonly unknown[];

/** A script that ends a job, and another one that does so for several jobs of a queue. */
interface BatchedScript {
  readonly one: string;
  /** Returns the result of `one` for each job, or the text of an error. An error of the first job fails the command. */
  readonly many: string;
  /** Makes the keys and arguments of `many` from those of `one` for each job. */
  readonly argumentsOf: (calls: readonly ScriptArguments[]) => unknown[];
  /** Returns the length of a job's longest text. */
  readonly lengthOf: (args: ScriptArguments) => number;
}

/** A call of the script that waits for the end of the turn. */
interface Call {
  readonly client: unknown;
  readonly args: ScriptArguments;
  readonly resolve: (reply: unknown) => void;
  readonly reject: (error: unknown) => void;
}

/** Merges the calls of a script in one turn of the event loop. Each call gets its own reply, as if it had been sent by itself. */
export class TurnBatch {
  #calls: Call[] = [];
  #text = 0;
  /** Calls of `many` without a reply. */
  #onTheirWay = 0;

  constructor(
    private readonly script: BatchedScript,
    private readonly execute: ExecuteScript,
  ) {}

  add(client: unknown, args: ScriptArguments): Promise<unknown> {
    return new Promise((resolve, reject) => {
      // After the timers and sockets of this turn, each of which may end a task: Node empties its other queues between them.
      if (this.#calls.length === 0) setImmediate(this.#send);
      this.#calls.push({ client, args, resolve, reject });
      this.#text += this.script.lengthOf(args);
      const most = this.#onTheirWay < ENOUGH_CALLS ? FEW_JOBS : MOST_JOBS;
      if (this.#calls.length >= most || this.#text >= MOST_TEXT) this.#send();
    });
  }

  readonly #send = (): void => {
    const calls = this.#calls;
    this.#calls = [];
    this.#text = 0;
    if (calls.length > 0) this.#run(calls);
  };

  #run(calls: readonly Call[]): void {
    const { one, many, argumentsOf } = this.script;
    const [first, ...others] = calls as [Call, ...Call[]];
    if (others.length === 0) {
      this.execute(first.client, one, first.args).then(first.resolve, first.reject);
      return;
    }
    this.#onTheirWay += 1;
    this.execute(first.client, many, argumentsOf(calls.map(({ args }) => args))).then(
      (replies) => {
        this.#onTheirWay -= 1;
        for (const [index, call] of calls.entries()) settle(call, (replies as readonly unknown[])[index]);
      },
      (error: unknown) => {
        this.#onTheirWay -= 1;
        // An error of the first job by itself: the script has not ended the others.
        const isOfFirst = isReplyError(error) && !isRefusal(error);
        for (const call of isOfFirst ? [first] : calls) call.reject(error);
        if (isOfFirst) this.#run(others);
      },
    );
  }
}

/** Settles a call by its part of the reply: the result of the script, or the text of an error. */
function settle({ resolve, reject }: Call, reply: unknown): void {
  if (typeof reply === 'string') reject(new REPLY_ERROR(reply));
  else resolve(reply);
}
