import { type LanguageModel, type UIMessage, convertToModelMessages, streamText } from 'ai';
import { defineHandler, defineTask } from 'taskfleet';
import { emitUIMessageStream, uiMessage, uiMessageChunk } from 'taskfleet/ai';
import { z } from 'zod';
import { addMessage } from './history.js';

/** Answers the last message of a chat, which is the item. A new question stops the answer to the one before. */
export const answer = defineTask({
  name: 'chat.answer',
  queue: 'answers',
  input: z.object({ messages: z.array(uiMessage).min(1) }),
  chunk: uiMessageChunk,
  output: uiMessage,
  retry: { attempts: 2 },
  concurrency: { by: 'item', limit: 1 },
  whenBusy: 'stop-previous',
});

/** Streams the model's answer to every page of the chat, and keeps it in the history, also if it was stopped halfway. */
export const answerWith = (model: LanguageModel) =>
  defineHandler(answer, async (context) => {
    const messages: UIMessage[] = context.input.messages;
    const result = streamText({
      model,
      messages: await convertToModelMessages(messages),
      abortSignal: context.signal,
      onError: ({ error }) => context.log.warn({ error }, 'The model failed'),
    });
    return emitUIMessageStream(context, result, {
      onEnd: ({ responseMessage }) => addMessage(context.item ?? context.id, responseMessage),
    });
  });
