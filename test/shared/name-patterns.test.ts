import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFleetError, messageOf } from '../../shared/errors.js';
import { matchesNames } from '../../shared/settings/name-patterns.js';
import { loadSettings } from '../../shared/settings/settings.js';

const NAMES = ['chat', 'chat.shard', 'report-a', 'report-b', 'maintenance'];

test('patterns choose names, exclusions win, and exclusions alone leave the rest', () => {
  const cases: readonly (readonly [string, readonly string[]])[] = [
    ['', NAMES],
    ['chat', ['chat']],
    ['chat*', ['chat', 'chat.shard']],
    ['chat,report-*', ['chat', 'report-a', 'report-b']],
    ['report-*,!report-b', ['report-a']],
    ['!maintenance', ['chat', 'chat.shard', 'report-a', 'report-b']],
    ['!report-*,!chat', ['chat.shard', 'maintenance']],
    ['*', NAMES],
    ['!*', []],
    // A dot is no wildcard.
    ['chatx*,report.a', []],
  ];
  for (const [text, expected] of cases) {
    const { workerQueues } = loadSettings({ WORKER_QUEUES: text });
    assert.deepEqual(
      NAMES.filter((name) => matchesNames(workerQueues, name)),
      expected,
      text,
    );
  }
});

test('BUILTIN_TASKS is on, off or patterns', () => {
  const chosen = (text: string): string[] =>
    ['chat.completion', 'fleet.canary'].filter((name) => matchesNames(loadSettings({ BUILTIN_TASKS: text }).builtinTasks, name));
  assert.deepEqual(
    ['', 'on', 'ON', 'off', 'chat.*', '!chat.*', 'fleet.canary , chat.completion'].map((text) => chosen(text).length),
    [2, 2, 2, 0, 1, 1, 2],
  );
});

test('a bad pattern is named with what was expected', () => {
  for (const [variable, text] of [
    ['WORKER_QUEUES', 'a b'],
    ['WORKER_QUEUES', '!'],
    ['WORKER_QUEUES', 'chat,!!x'],
    ['BUILTIN_TASKS', 'on,chat/*'],
  ] as const)
    assert.throws(
      () => loadSettings({ [variable]: text }),
      (error) => {
        assert.ok(isFleetError(error, 'INVALID_SETTINGS'));
        assert.match(messageOf(error), new RegExp(`${variable}: expected .*names separated by commas`));
        assert.ok(messageOf(error).endsWith(`got ${JSON.stringify(text)}`));
        return true;
      },
    );
});
