import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { commandsOf, quote } from '../../../../dashboard/page/task/commands.js';
import { readInput } from '../../../../dashboard/page/task/read-input.js';
import { aTask } from '../a-task.js';

const ROOT = 'https://fleet.example.org/fleet/';

/** Splits a command line as a shell does. */
function wordsOf(command: string): string[] {
  return execFileSync('/bin/sh', ['-c', `printf '%s\\0' ${command}`], { encoding: 'utf8', env: { TASKFLEET_TOKEN: 'T' } })
    .split('\0')
    .slice(0, -1);
}

test('commands suit the state, and a shell reads them as they are meant', () => {
  const item = `it's "$HOME" \`id\` \\ *`;
  const input = { text: "o'hara\n$(reboot)", n: -1 };
  const task = aTask({ id: 'a b', name: 'mail.send', state: 'failed', item, tags: ['tenant:7', "x'y"], priority: 3 });
  const commands = commandsOf(task, ROOT, { value: input });
  assert.deepEqual(
    commands.map(({ title }) => title),
    ['Show', 'Retry', 'Enqueue again'],
  );
  const [show, retry, again] = commands as [(typeof commands)[0], (typeof commands)[0], (typeof commands)[0]];
  assert.equal(show.cli, "npx taskfleet task show --api https://fleet.example.org/fleet 'a b'");
  assert.deepEqual(wordsOf(retry.curl), [
    ...['curl', '-sS', '-X', 'POST', '-H', 'Authorization: Bearer T', '-H', 'Content-Type: application/json', '-d', '{}'],
    'https://fleet.example.org/fleet/api/v1/tasks/a%20b/retry',
  ]);
  assert.deepEqual(wordsOf(again.cli), [
    ...['npx', 'taskfleet', 'task', 'enqueue', 'mail.send', '--input', JSON.stringify(input), '--item', item],
    ...['--tag', 'tenant:7', '--tag', "x'y", '--priority', '3', '--api', 'https://fleet.example.org/fleet'],
  ]);
  const body = JSON.parse(wordsOf(again.curl)[9] as string) as unknown;
  assert.deepEqual(body, { name: 'mail.send', item, tags: ['tenant:7', "x'y"], priority: 3, input });
});

test('no command has the token, and an input that is not whole comes from a file', () => {
  const [show, stop, again] = commandsOf(aTask({ id: '-rf', item: '-x', tags: [] }), ROOT, null);
  assert.ok(show?.cli.endsWith(' -- -rf'), show?.cli);
  assert.equal(stop?.title, 'Stop');
  assert.ok(again?.cli.includes('--input @input.json --item=-x'), again?.cli);
  assert.ok(again?.curl.includes('-d @task.json'), again?.curl);
  for (const command of [show, stop, again]) assert.ok(command?.curl.includes('"Authorization: Bearer $TASKFLEET_TOKEN"'), command?.curl);
  assert.deepEqual(
    commandsOf(aTask({ name: null, state: 'completed' }), ROOT, null).map(({ title }) => title),
    ['Show'],
  );
  assert.deepEqual([quote('plain-1.2'), quote(''), quote('ä')], ['plain-1.2', "''", "'ä'"]);
});

test('an edited input must be JSON without hidden secrets', () => {
  assert.deepEqual(readInput('{"a": "***"}', []), { a: '***' });
  assert.throws(() => readInput('{"key": "***"}', ['key']), /Replace each "\*\*\*" by the secret: key/);
  assert.deepEqual(readInput('{"key": "s"}', ['key']), { key: 's' });
  assert.throws(() => readInput('{a}', []), /^Error: The input is not JSON/);
});
