import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { AnswerFailed, AnswerRestarted } from '../../ai/index.js';
import { ItemBusyError } from '../../client/index.js';
import { deferred } from '../support/deferred.js';
import { until } from '../support/until.js';
import { ChatFleet, ChunkLog, begin, chatTask, finish, say, sendOf, stopped, text } from './chat-fleet.js';

const chats = await ChatFleet.start();
after(() => chats.stop());

const WORDS = ['one ', 'two ', 'three ', 'four'];
const WHOLE = [
  'start',
  'start-step',
  'text-start',
  'text-delta',
  'text-delta',
  'text-delta',
  'text-delta',
  'text-end',
  'finish-step',
  'finish',
];

test('a message is answered by a task with the messages as input', async () => {
  chats.answer('c-send', async (context) => {
    begin(context);
    for (const word of WORDS) context.emit(text(word));
    finish(context);
  });
  const transport = chats.transport('wait', { body: { mood: 'dry', more: 1 } });
  const log = new ChunkLog(await transport.sendMessages(sendOf('c-send', 'hi', { body: { more: 2 } })));
  await log.end;
  assert.deepEqual([log.text, log.types], ['one two three four', WHOLE]);
  const { input, id } = await chats.started('c-send');
  assert.deepEqual(input, { messages: [say('hi')], trigger: 'submit-message', mood: 'dry', more: 2 });
  assert.deepEqual(log.chunks[0], { type: 'start', messageId: id });
});

test('an answer goes on without its page; a page that is loaded later gets all of it, each chunk once', async () => {
  const gate = deferred();
  chats.answer('c-reload', async (context) => {
    begin(context);
    for (const word of WORDS.slice(0, 2)) context.emit(text(word));
    await gate.promise;
    for (const word of WORDS.slice(2)) context.emit(text(word));
    finish(context);
  });
  const first = new ChunkLog(await chats.transport().sendMessages(sendOf('c-reload')));
  await first.until('two ');
  await first.leave();
  const reloaded = chats.transport();
  const stream = await reloaded.reconnectToStream({ chatId: 'c-reload' });
  assert.ok(stream);
  const log = new ChunkLog(stream);
  await log.until('one two ');
  gate.resolve();
  await log.end;
  assert.deepEqual([log.text, log.types], ['one two three four', WHOLE]);

  assert.equal(await reloaded.reconnectToStream({ chatId: 'c-reload' }), null, 'this page has seen the end');
  // Another page has loaded its history before the end. The index of finished tasks is written soon after that.
  const late = await until(
    () => chats.transport().reconnectToStream({ chatId: 'c-reload' }),
    (found) => found !== null,
  );
  assert.ok(late);
  const replay = new ChunkLog(late);
  await replay.end;
  assert.deepEqual(replay.types, WHOLE);
  assert.equal(await chats.transport().reconnectToStream({ chatId: 'c-other' }), null);
});

test('a stop from any page lands, and every reader gets the abort', async () => {
  chats.answer('c-stop', async (context) => {
    begin(context);
    context.emit(text('half'));
    return stopped(context);
  });
  const sender = new ChunkLog(await chats.transport().sendMessages(sendOf('c-stop')));
  await sender.until('half');
  const [reader, other] = [chats.transport(), chats.transport()];
  const stream = await reader.reconnectToStream({ chatId: 'c-stop' });
  assert.ok(stream);
  const log = new ChunkLog(stream);
  await log.until('half');
  const [receipt] = await other.stop('c-stop', { reason: 'enough', waitMs: 10_000 });
  assert.deepEqual([receipt?.outcome, receipt?.reason], ['cancelled', 'enough']);
  await Promise.all([sender.end, log.end]);
  for (const { chunks } of [sender, log])
    assert.deepEqual(chunks.slice(-2), [
      { type: 'text-end', id: '1' },
      { type: 'abort', reason: 'enough' },
    ]);
  assert.deepEqual(await other.stop('c-stop'), []);
});

test('a stop does not miss a message that is just being sent', async () => {
  chats.answer('c-early', stopped);
  const sending = deferred();
  const transport = chats.transport('wait', {
    send: async ({ item, messages }) => {
      await sending.promise;
      return chats.producer.enqueue(chatTask('wait'), { messages }, { item });
    },
  });
  const sent = transport.sendMessages(sendOf('c-early'));
  const stop = transport.stop('c-early', { waitMs: 10_000 });
  sending.resolve();
  const log = new ChunkLog(await sent);
  assert.equal((await stop)[0]?.outcome, 'cancelled');
  await log.end;
  assert.deepEqual(log.chunks, [{ type: 'abort' }]);
});

test('a second message follows the policy of the definition', async () => {
  const gates = new Map<string, ReturnType<typeof deferred<void>>>();
  const script = (chat: string): void =>
    chats.answer(chat, async (context) => {
      begin(context);
      const said = (context.input.messages[0]?.parts[0] as { text?: string } | undefined)?.text ?? '';
      context.emit(text(said));
      const gate = deferred();
      gates.set(`${chat} ${said}`, gate);
      await Promise.race([gate.promise, stopped(context)]);
      finish(context);
    });
  for (const policy of ['wait', 'reject', 'stop-previous', 'replace-waiting'] as const) script(`b-${policy}`);
  const send = async (policy: 'wait' | 'reject' | 'stop-previous' | 'replace-waiting', said: string): Promise<ChunkLog> =>
    new ChunkLog(await chats.transport(policy).sendMessages(sendOf(`b-${policy}`, said)));

  const refused = await send('reject', 'first');
  await refused.until('first');
  await assert.rejects(send('reject', 'second'), (error) => error instanceof ItemBusyError && error.code === 'ITEM_BUSY');
  gates.get('b-reject first')?.resolve();
  await refused.end;

  const previous = await send('stop-previous', 'first');
  await previous.until('first');
  const next = await send('stop-previous', 'second');
  await previous.end;
  assert.equal(previous.types.at(-1), 'abort');
  await next.until('second');
  gates.get('b-stop-previous second')?.resolve();
  await next.end;

  const running = await send('replace-waiting', 'first');
  await running.until('first');
  const replaced = await send('replace-waiting', 'second');
  const waiting = await send('replace-waiting', 'third');
  await replaced.end;
  assert.deepEqual(replaced.types, ['abort']);
  gates.get('b-replace-waiting first')?.resolve();
  await waiting.until('third');
  gates.get('b-replace-waiting third')?.resolve();
  await Promise.all([running.end, waiting.end]);

  const [one, two] = [await send('wait', 'first'), await send('wait', 'second')];
  await one.until('first');
  const stream = await chats.transport('wait').reconnectToStream({ chatId: 'b-wait' });
  assert.ok(stream);
  const both = new ChunkLog(stream);
  await both.until('first');
  gates.get('b-wait first')?.resolve();
  await both.until('firstsecond');
  gates.get('b-wait second')?.resolve();
  await Promise.all([one.end, two.end, both.end]);
  assert.equal(new Set(both.chunks.flatMap((chunk) => (chunk.type === 'start' ? [chunk.messageId] : []))).size, 2);
});

test('a new attempt replaces the text of the one before, for readers of both and of the second', async () => {
  const gate = deferred();
  chats.answer('c-retry', async (context) => {
    begin(context);
    if (context.attempt === 1) {
      context.emit(text('lost'));
      throw new Error('the model hung up');
    }
    context.emit(text('kept'));
    await gate.promise;
    finish(context);
  });
  const log = new ChunkLog(await chats.transport().sendMessages(sendOf('c-retry')));
  await log.until('kept');
  const stream = await chats.transport().reconnectToStream({ chatId: 'c-retry' });
  assert.ok(stream);
  const late = new ChunkLog(stream);
  await late.until('kept');
  gate.resolve();
  await Promise.all([log.end, late.end]);
  assert.deepEqual(log.types.slice(3), [
    'text-delta',
    'reset-step',
    'start',
    'text-start',
    'text-delta',
    'text-end',
    'finish-step',
    'finish',
  ]);
  assert.deepEqual(late.types, ['start', 'start-step', 'text-start', 'text-delta', 'text-end', 'finish-step', 'finish']);
});

test('after finished steps a new attempt ends the stream, and resuming begins with the new attempt', async () => {
  const gate = deferred();
  chats.answer('c-steps', async ({ emit, id, attempt }) => {
    emit({ type: 'start', messageId: id });
    for (const step of ['1', '2']) {
      emit({ type: 'start-step' });
      emit({ type: 'text-start', id: step });
      emit({ type: 'text-delta', id: step, delta: attempt === 1 ? 'lost ' : 'kept ' });
      emit({ type: 'text-end', id: step });
    }
    if (attempt === 1) throw new Error('the tool broke');
    return gate.promise;
  });
  const transport = chats.transport();
  const log = new ChunkLog(await transport.sendMessages(sendOf('c-steps')));
  await assert.rejects(log.end, AnswerRestarted);
  assert.equal(log.text, 'lost lost ');
  const [again, loaded] = [
    await transport.reconnectToStream({ chatId: 'c-steps' }),
    await chats.transport().reconnectToStream({ chatId: 'c-steps' }),
  ];
  assert.ok(again && loaded);
  const logs = [new ChunkLog(again), new ChunkLog(loaded)];
  gate.resolve();
  for (const { end, ...each } of logs) await end.then(() => assert.equal(each.chunks[0]?.type, 'start'));
  assert.deepEqual(
    logs.map((each) => each.text),
    ['kept kept ', 'kept kept '],
  );
});

test('a failed task is an error of the chat', async () => {
  chats.answer('c-fail', () => Promise.reject(new Error('no model')));
  const log = new ChunkLog(await chats.transport().sendMessages(sendOf('c-fail')));
  await assert.rejects(log.end, (error) => error instanceof AnswerFailed && error.message === 'no model');
});

test('a token that ends is renewed, and no chunk is lost or repeated', async () => {
  const gate = deferred();
  chats.answer('c-token', async (context) => {
    begin(context);
    context.emit(text('one '));
    await gate.promise;
    context.emit(text('two'));
    finish(context);
  });
  const log = new ChunkLog(await chats.transport().sendMessages(sendOf('c-token')));
  await log.until('one ');
  const [first = ''] = chats.tokens.get('c-token') ?? [];
  assert.equal(await chats.producer.itemTokens.revoke(first), true);
  gate.resolve();
  await log.end;
  assert.equal(log.text, 'one two');
  assert.equal(log.types.filter((type) => type === 'start').length, 1);
});

test('an item names the chats of a user; a page without a token is refused', async () => {
  chats.answer('user-7', stopped);
  const transport = chats.transport('wait', { item: () => 'user-7' });
  const log = new ChunkLog(await transport.sendMessages(sendOf('any')));
  await chats.started('user-7');
  await transport.stop('any');
  await log.end;
  await assert.rejects(chats.transport('wait', { token: 'none' }).sendMessages(sendOf('c-none')), { code: 'UNAUTHENTICATED' });
});
