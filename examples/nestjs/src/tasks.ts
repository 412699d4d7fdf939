import { setTimeout } from 'node:timers/promises';
import { defineHandler, defineTask } from 'taskfleet';
import { z } from 'zod';

/** Writes a story word by word. The stories of one user are written one at a time. */
export const writeStory = defineTask({
  name: 'story.write',
  input: z.object({ topic: z.string().min(1), words: z.int().min(1).max(10_000).default(200) }),
  chunk: z.string(),
  output: z.object({ words: z.int() }),
  concurrency: { by: 'item', limit: 1 },
});

const WORDS = 'Once upon a time there was a'.split(' ');

// What TASK_MODULES loads: the handlers of this file.
export default [
  defineHandler(writeStory, async ({ input, signal, emit }) => {
    for (let n = 0; n < input.words; n += 1) {
      await setTimeout(50, null, { signal }); // a stop ends the wait, and the task with it
      emit(WORDS[n] ?? input.topic);
    }
    return { words: input.words };
  }),
];
