import assert from 'node:assert/strict';
import { test } from 'node:test';
import { slotsByQueue, slotsOfOthers } from '../../../worker/fetch/shards.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';

const handlerOf = (name: string, shards: number, alwaysIsolated = false) => ({
  definition: new ScriptedTask(name, { shards }).definition,
  alwaysIsolated,
});
const plan = (...handlers: ReturnType<typeof handlerOf>[]) => Object.fromEntries(slotsByQueue(handlers, 10, 2));

test('the slots of a queue are divided over its shards, rounded up', () => {
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

test('the task with the most shards decides the shards of its queue', () => {
  const expected = { chat: 5, 'chat.shard-1': 5 };
  assert.deepEqual(plan(handlerOf('chat.a', 2), handlerOf('chat.b', 1)), expected);
  assert.deepEqual(plan(handlerOf('chat.b', 1), handlerOf('chat.a', 2)), expected);
});

test('a queue with isolated tasks only has no more slots than threads', () => {
  assert.deepEqual(plan(handlerOf('index.a', 1, true)), { index: 2 });
  assert.deepEqual(plan(handlerOf('index.a', 2, true)), { index: 1, 'index.shard-1': 1 });
  assert.deepEqual(plan(handlerOf('index.a', 2, true), handlerOf('index.b', 1)), { index: 5, 'index.shard-1': 5 });
});

test('shards of other versions get the slots of a known shard; other queues get none', () => {
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
