import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { slotsByQueue, slotsOfOthers } from '../../../worker/fetch/shards.js';

const handlerOf = (name: string, shards: number, alwaysIsolated = false) => ({
  definition: new ScriptedTask(name, { shards }).definition,
  alwaysIsolated,
});
const plan = (...handlers: ReturnType<typeof handlerOf>[]) => Object.fromEntries(slotsByQueue(handlers, 10, 2));

test('the slots of a queue are divided over its shards, rounded up, at least one for each', () => {
  assert.deepEqual(plan(handlerOf('chat.a', 1)), { chat: 10 });
  assert.deepEqual(plan(handlerOf('chat.a', 4), handlerOf('mail.a', 1)), {
    chat: 3,
    'chat.shard-1': 3,
    'chat.shard-2': 3,
    'chat.shard-3': 3,
    mail: 10,
  });
  const many = slotsByQueue([handlerOf('chat.a', 64)], 10, 2);
  assert.deepEqual([many.size, ...new Set(many.values())], [64, 1]);
});

test('of two tasks of one queue, the one with more shards decides how many there are', () => {
  const expected = { chat: 5, 'chat.shard-1': 5 };
  assert.deepEqual(plan(handlerOf('chat.a', 2), handlerOf('chat.b', 1)), expected);
  assert.deepEqual(plan(handlerOf('chat.b', 1), handlerOf('chat.a', 2)), expected);
});

test('where all tasks are isolated, there are no more slots than threads, divided likewise', () => {
  assert.deepEqual(plan(handlerOf('index.a', 1, true)), { index: 2 });
  assert.deepEqual(plan(handlerOf('index.a', 2, true)), { index: 1, 'index.shard-1': 1 });
  assert.deepEqual(plan(handlerOf('index.a', 2, true), handlerOf('index.b', 1)), { index: 5, 'index.shard-1': 5 });
});

test('shards of other versions get what each would have if all were known; what is no shard of these queues gets nothing', () => {
  const others = (slots: Record<string, number>, ...names: string[]) =>
    Object.fromEntries(slotsOfOthers(new Map(Object.entries(slots)), names));
  assert.deepEqual(others({ chat: 10 }, 'chat', 'chat.shard-1', 'chat.shard-2', 'chat.shard-3'), {
    'chat.shard-1': 3,
    'chat.shard-2': 3,
    'chat.shard-3': 3,
  });
  assert.deepEqual(others({ chat: 5, 'chat.shard-1': 5 }, 'chat.shard-1', 'chat.shard-2'), { 'chat.shard-2': 4 });
  assert.deepEqual(others({ chat: 1 }, 'chat.shard-9'), { 'chat.shard-9': 1 });
  assert.deepEqual(others({ chat: 10 }, 'mail', 'mail.shard-1', 'chat.shard-x', 'chat.shard-64'), {});
});
