import { defineHandler, defineTask } from 'taskfleet';
import type { Producer } from 'taskfleet/producer';
import { z } from 'zod';
import { streamReply } from './model.js';

/** Answers a message of a chat, word by word. A chat gets one answer at a time: further messages wait for their turn. */
export const answer = defineTask({
  name: 'chat.answer',
  input: z.object({ message: z.string().trim().min(1).max(10_000) }),
  chunk: z.string(),
  output: z.object({ text: z.string() }),
  concurrency: { by: 'item', limit: 1 },
  timeoutMs: 120_000,
});

/** Counts the answers of the last 24 hours. */
export const nightlyReport = defineTask({
  name: 'report.nightly',
  input: z.object({}),
  output: z.object({ completed: z.int(), cancelled: z.int(), failed: z.int() }),
});

const DAY_MS = 86_400_000;

export const answerHandler = defineHandler(answer, async ({ input, signal, emit }) => {
  let text = '';
  for await (const word of streamReply(input.message, signal)) {
    emit(word); // reaches every reader of the answer, and stays readable after a stop
    text += word;
  }
  return { text };
});

export function reportHandler(fleet: Producer) {
  return defineHandler(nightlyReport, async ({ log }) => {
    const finishedAfter = new Date(Date.now() - DAY_MS);
    const counts = await fleet.countByState({ name: answer.name, state: 'ended', finishedAfter });
    const [completed = 0, cancelled = 0, failed = 0] = (['completed', 'cancelled', 'failed'] as const).map((end) => counts.get(end)?.count);
    log.info({ completed, cancelled, failed }, 'Answers of the last 24 hours');
    return { completed, cancelled, failed };
  });
}
