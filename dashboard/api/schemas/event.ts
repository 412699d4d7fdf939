import { z } from 'zod';
import { time } from './fields.js';
import { failure, receipt, task, taskState, waitingFor } from './task.js';

/** The `data` of the events of a task's stream, by their name. */
export const taskEvents = {
  state: z
    .strictObject({
      at: time,
      state: taskState,
      attempt: z
        .int()
        .min(1)
        .nullable()
        .meta({ description: 'For `running` the attempt that began; for `retrying` the one that ended; else the last one.' }),
      error: failure.nullable().meta({ description: 'For `retrying` and `failed`: why the attempt failed. Without stacks.' }),
      next_attempt_at: time.nullable().meta({ description: 'For `retrying`: when the next attempt is due.' }),
      waiting_for: waitingFor.nullable().meta({ description: 'For `queued`: the limit or the paused queue that the task waits for.' }),
      receipt: receipt.nullable().meta({ description: 'For `cancelled`.' }),
      skipped_for: z.string().nullable().meta({ description: 'For `skipped`: the task of the same schedule that this one overlapped.' }),
      task: task.nullable().meta({ description: 'With the last event: the finished task; null without retention.' }),
    })
    .meta({ id: 'StateEvent' }),
  progress: z.strictObject({ at: time, progress: z.unknown() }).meta({ id: 'ProgressEvent' }),
  chunk: z.strictObject({ at: time, chunk: z.unknown() }).meta({ id: 'ChunkEvent' }),
} as const;
