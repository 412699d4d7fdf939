import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AbstractChat, type ChatState, type UIMessage, type UIMessageChunk } from 'ai';
import { AnswerRestarted, uiMessageStreamOf } from 'taskfleet/ai';

// A chat of the SDK, as `useChat` has one, shows an answer once, however often it begins again.

class State implements ChatState<UIMessage> {
  status: ChatState<UIMessage>['status'] = 'ready';
  error: Error | undefined;
  messages: UIMessage[] = [];

  pushMessage = (message: UIMessage) => void (this.messages = [...this.messages, message]);
  popMessage = () => void (this.messages = this.messages.slice(0, -1));
  replaceMessage = (index: number, message: UIMessage) => void (this.messages = this.messages.with(index, structuredClone(message)));
  snapshot = <Value>(value: Value) => structuredClone(value);
}

class Chat extends AbstractChat<UIMessage> {}

/** The chunks of an attempt: a step for each text. */
const attempt = (...texts: string[]): UIMessageChunk[] => [
  { type: 'start', messageId: 't1' },
  ...texts.flatMap((delta, index): UIMessageChunk[] => [
    { type: 'start-step' },
    { type: 'text-start', id: `${index}` },
    { type: 'text-delta', id: `${index}`, delta },
    { type: 'text-end', id: `${index}` },
  ]),
];

const answerOf = (chunks: UIMessageChunk[]) =>
  uiMessageStreamOf(async function* () {
    for (const [index, chunk] of chunks.entries()) yield { type: 'chunk', id: `1-${index}`, chunk };
    yield { type: 'state', id: null, state: 'completed' };
  });

for (const first of [attempt('lost'), attempt('lost', 'lost')]) {
  test(`A new attempt replaces one of ${first.length > 5 ? 'several steps' : 'one step'}`, async () => {
    const second = attempt('new', 'newer');
    let resumed: Promise<void> | undefined;
    const chat: Chat = new Chat({
      state: new State(),
      transport: {
        resumeStreamIsReplay: true,
        sendMessages: async () => answerOf([...first, ...second]),
        reconnectToStream: async () => answerOf(second),
      },
      onError: (error) => {
        if (error instanceof AnswerRestarted) resumed = chat.resumeStream();
      },
    });
    await chat.sendMessage({ text: 'Hi' });
    await resumed;
    const [, ...answers] = chat.messages.map(({ id, parts }) => [
      id,
      ...parts.map((part) => (part.type === 'text' ? part.text : part.type)),
    ]);
    assert.deepEqual(answers, [['t1', 'step-start', 'new', 'step-start', 'newer']]);
    assert.deepEqual([chat.status, resumed !== undefined], ['ready', first.length > 5]);
  });
}
