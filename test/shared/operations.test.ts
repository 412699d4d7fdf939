import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import type { Command } from 'commander';
import { checkPermissions } from '../../cli/doctor/permissions.js';
import { createProgram } from '../../cli/program.js';
import { repetitionMs } from '../../producer/calls.js';
import { ERROR_CODES } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { SETTINGS, resolveSettings } from '../../shared/settings/settings.js';
import { testIo } from '../support/process/run-cli.js';
import { type TestRedis, startTestRedis } from '../support/redis/test-redis.js';

const page = await readFile(new URL('../../docs/guides/operations.md', import.meta.url), 'utf8');

/** Variables of Node.js. */
const OTHERS = new Set(['NODE_OPTIONS']);

/** Splits a line like a shell, without assignments before the command (`NAME=value`) and the comment after it (`# …`). */
function wordsOf(line: string): string[] {
  const words = [...line.matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(([, single, double, bare]) => single ?? double ?? bare ?? '');
  const from = words.indexOf('taskfleet');
  const until = words.indexOf('#');
  return words.slice(from + 1, until === -1 ? undefined : until);
}

/** Returns the command lines of the page, from text and code blocks. `<id>` and the like are placeholders. */
function commandsOf(text: string): string[] {
  return [...text.matchAll(/(?:^|`)((?:[A-Z_]+=\S+ )*taskfleet (?!-)[^`\n]*)/gm)]
    .map(([, line = '']) => line.replace(/ *>\/dev\/null$/, ''))
    .filter((line) => /^(?:[A-Z_]+=\S+ )*taskfleet [a-z]/.test(line));
}

async function isAccepted(line: string): Promise<boolean> {
  const program = await createProgram(testIo());
  const withActions = ({ commands }: Command): Command[] =>
    commands.flatMap((command) => [
      // `taskfleet worker` has subcommands, and runs a worker without one.
      ...(command.commands.length === 0 || command.name() === 'worker' ? [command] : []),
      ...withActions(command),
    ]);
  for (const command of withActions(program)) command.action(() => undefined);
  return program.parseAsync(wordsOf(line), { from: 'user' }).then(
    () => true,
    () => false,
  );
}

describe('docs/guides/operations.md', () => {
  test('every setting and error in capitals exists', () => {
    const known = new Set([...Object.values(SETTINGS).map(({ env }) => env), ...Object.keys(ERROR_CODES), ...OTHERS]);
    const named = new Set([...page.matchAll(/\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b/g)].map(([name]) => name));
    assert.ok(named.size > 20, `${named.size}`);
    assert.deepEqual(
      [...named].filter((name) => !known.has(name)),
      [],
    );
  });

  test('every command line is accepted by the CLI', async () => {
    const lines = commandsOf(page);
    assert.ok(lines.length > 10, `${lines.length}`);
    for (const line of lines) assert.ok(await isAccepted(line), line);
    for (const mistake of ['taskfleet task halt <id>', 'taskfleet task list --pending', 'taskfleet doctor everything'])
      assert.ok(!(await isAccepted(mistake)), mistake);
  });

  test('the table of retries matches the waits of a producer', () => {
    const rows = [...page.matchAll(/^\| (\d+) \| ([\d.]+) s \| (\w+)/gm)];
    assert.ok(rows.length >= 5, `${rows.length}`);
    for (const [row, count, seconds, rides] of rows) {
      const settings = { ...resolveSettings({ maxRetries: Number(count) }), redisUrl: 'redis://127.0.0.1' };
      assert.equal(repetitionMs(settings), Number(seconds) * 1_000, row);
      assert.equal(rides === 'no', repetitionMs(settings) < 7_000, row);
    }
  });

  describe('the ACL rules', () => {
    let redis: TestRedis;

    before(async () => {
      redis = await startTestRedis();
    });
    after(() => redis.stop());

    const rules = [...page.matchAll(/^ACL SETUSER fleet (.*)$/gm)].map(([, words = '']) => words.split(' '));
    const [single = [], clustered = []] = rules;

    async function check(words: readonly string[], cluster: boolean): Promise<string> {
      await redis.client().call('ACL', 'SETUSER', 'fleet', 'reset', ...words);
      const client = redis.client({ username: 'fleet', password: 'secret' });
      const { level, message } = await checkPermissions(
        client,
        [{ address: 'here', redis: client, info: new Map() }],
        createKeys('taskfleet', cluster),
      );
      return `${level} ${message}`;
    }

    test('permit all commands of the fleet, on its own keys only', async () => {
      assert.match(await check(single, false), /^ok/);
      const elsewhere = redis.client({ username: 'fleet', password: 'secret' });
      assert.equal(await elsewhere.select(1), 'OK', 'also in another database');
      assert.match(await check(clustered, true), /^ok/);
      const client = redis.client({ username: 'fleet', password: 'secret' });
      await assert.rejects(client.get('another:tasks'), /NOPERM/);
      for (const words of [['flushall'], ['keys', '*'], ['config', 'set', 'maxmemory', '1'], ['publish', 'another', '']]) {
        await assert.rejects(client.call(...(words as [string, ...string[]])), /NOPERM/, words.join(' '));
      }
    });

    test('for sentinels permit only the look-up of the master', async () => {
      assert.equal(rules.length, 3);
      const sentinel = await startTestRedis({ extraArgs: ['--sentinel'] });
      try {
        await sentinel.client().call('ACL', 'SETUSER', 'fleet', 'reset', ...(rules[2] ?? []));
        const client = sentinel.client({ username: 'fleet', password: 'secret', enableReadyCheck: false });
        assert.equal(await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', 'mymaster'), null);
        assert.equal(await client.subscribe('+switch-master'), 1);
        await assert.rejects(
          sentinel.client({ username: 'fleet', password: 'secret', enableReadyCheck: false }).call('SENTINEL', 'RESET', '*'),
          /NOPERM/,
        );
      } finally {
        await sentinel.stop();
      }
    });

    test('a missing rule is reported', async () => {
      assert.match(
        await check(
          single.filter((rule) => rule !== '+wait'),
          false,
        ),
        /^fail .*wait/,
      );
      assert.match(await check(single, true), /^fail .*access the keys/);
    });
  });
});
