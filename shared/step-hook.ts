/**
 * Places between two steps, where a test may hold whoever comes by and do something else meanwhile.
 * - `enqueue:checked`: a task has passed its checks and is not yet registered.
 * - `enqueue:registered`: a task that minds who else is live on its item is registered, and its job is not yet added.
 * - `worker:fetched`: BullMQ has handed over a job, and the worker does not know of it yet.
 * - `worker:tracked`: stops reach the run from now on; its handler has not been called.
 * - `worker:ended`: the handler has ended, and its outcome is not yet written.
 * - `stop:recorded`: a stop is recorded and not yet published.
 */
export type Step = 'enqueue:checked' | 'enqueue:registered' | 'worker:fetched' | 'worker:tracked' | 'worker:ended' | 'stop:recorded';

/** Called at each step with the task's id; what it returns is awaited. For tests. */
export type StepHook = (step: Step, id: string) => Promise<void>;
