/**
 * Points between two steps where a test may pause the caller to act in between.
 * - `enqueue:checked`: a task has passed its checks and is not yet registered.
 * - `enqueue:registered`: a task that requires its item to be free is registered, and its job is not yet added.
 * - `worker:fetched`: BullMQ has fetched a job, and the worker does not track it yet.
 * - `worker:tracked`: stops now reach the run, and its handler has not been called.
 * - `worker:ended`: the handler has ended, and its outcome is not yet written.
 * - `stop:recorded`: a stop is recorded and not yet published.
 */
export type Step = 'enqueue:checked' | 'enqueue:registered' | 'worker:fetched' | 'worker:tracked' | 'worker:ended' | 'stop:recorded';

/** Called and awaited at each step, with the task's id. For tests. */
export type StepHook = (step: Step, id: string) => Promise<void>;
