import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FleetError } from '../../../shared/errors.js';
import { RepeatedLines, createLoggerFactory } from '../../../shared/log/logger.js';
import { type SettingsInput, resolveSettings } from '../../../shared/settings/settings.js';
import { builtUrl } from '../../support/process/built.js';
import { spawnNode } from '../../support/process/processes.js';

function loggersInto(input: SettingsInput) {
  const text: string[] = [];
  const loggers = createLoggerFactory({ settings: resolveSettings(input), destination: { write: (line) => void text.push(line) } });
  return { loggers, text, lines: () => text.map((line) => JSON.parse(line) as Record<string, unknown>) };
}

test('each component logs at its own level', () => {
  const { loggers, lines } = loggersInto({ logLevel: 'warn', logLevels: { stop: 'debug', task: 'silent' } });
  loggers('worker').info('too quiet');
  loggers('worker').warn('heard');
  loggers('stop').debug('heard too');
  loggers('task').fatal('never');
  assert.deepEqual(
    lines().map(({ component, msg }) => [component, msg]),
    [
      ['worker', 'heard'],
      ['stop', 'heard too'],
    ],
  );
});

test('inputs, passwords and keys are not logged', () => {
  const { loggers, text } = loggersInto({ logLevel: 'trace' });
  const secret = 'hunter2';
  loggers('worker').info({ input: secret, password: secret, apiKey: secret }, 'flat');
  loggers('worker').info({ job: { input: { prompt: secret } }, redis: { password: secret }, upstream: { apiKey: secret } }, 'nested');
  loggers('worker').info({ headers: { authorization: `Bearer ${secret}` }, request: { headers: { authorization: secret } } }, 'headers');
  loggers('worker').info({ settings: { redisUrl: secret, openaiBaseUrls: [secret], openaiKeys: [secret] } }, 'settings');
  loggers('worker').child({ task: 'a' }).info({ input: secret }, 'of a task');
  assert.equal(text.length, 5);
  assert.doesNotMatch(text.join(''), /hunter2/);
});

test('a logged error has its message, code and stack, and no other properties', () => {
  const { loggers, lines, text } = loggersInto({});
  const refused = Object.assign(new Error('NOAUTH'), { command: { name: 'auth', args: ['hunter2'] } });
  loggers('stop').error({ error: new FleetError('REDIS_UNAVAILABLE', 'Redis is away', { cause: refused }) }, 'Failed');
  loggers('stop').error({ error: refused }, 'Failed');
  loggers('stop').error({ error: 'only text' }, 'Failed');
  loggers('stop').error({ err: refused }, 'Failed');
  loggers('stop').error(refused);
  const unknown = "ERR unknown command 'HSET', with args beginning with: 'key' 'hunter2'";
  loggers('stop').error({ error: new Error(unknown) }, 'Failed');
  loggers('stop').error({ error: unknown }, 'Failed');
  const errors = lines().map(({ error }) => error as Record<string, unknown>);
  assert.equal(errors[0]?.['message'], 'Redis is away');
  assert.equal(errors[0]?.['code'], 'REDIS_UNAVAILABLE');
  assert.match(String(errors[0]?.['stack']), /logger\.test/);
  assert.equal(errors[1]?.['message'], 'NOAUTH');
  assert.equal(errors[2], 'only text');
  assert.equal(errors.at(-1), "ERR unknown command 'HSET'");
  assert.doesNotMatch(text.join(''), /hunter2/);
});

test('lines go to standard error, and standard output is reserved for data', async () => {
  const program = `
    import { createLoggerFactory } from ${JSON.stringify(builtUrl('dist/shared/log/logger.js'))};
    import { resolveSettings } from ${JSON.stringify(builtUrl('dist/shared/settings/settings.js'))};
    for (const pretty of [false, true]) createLoggerFactory({ settings: resolveSettings({}), pretty })('cli').info('hello ' + pretty);
  `;
  const child = spawnNode(['--input-type=module', '-e', program]);
  const { code } = await child.exit;
  assert.equal(code, 0, child.stderr.text);
  assert.deepEqual(child.stdout.lines, []);
  assert.equal(child.stderr.lines.length, 2);
  assert.match(child.stderr.lines[0] ?? '', /"msg":"hello false"/);
  assert.match(child.stderr.lines[1] ?? '', /INFO.*hello true/);
});

test('a repeated line is written once per key and interval, and the next one has the count', () => {
  const { loggers, lines } = loggersInto({ logLevel: 'debug' });
  let now = 0;
  const repeated = new RepeatedLines(loggers('worker'), { intervalMs: 1_000, now: () => now });
  const warn = (key: string): boolean => repeated.warn(key, { key }, 'It failed');
  assert.deepEqual([warn('a'), warn('a'), warn('b'), warn('a')], [true, false, true, false]);
  now = 999;
  assert.equal(warn('a'), false);
  now = 1_000;
  assert.deepEqual([warn('a'), warn('b'), warn('a')], [true, true, false]);
  assert.deepEqual(
    lines().map(({ key, repeated: count }) => [key, count]),
    [
      ['a', undefined],
      ['b', undefined],
      ['a', 3],
      ['b', undefined],
    ],
  );
  assert.equal(repeated.forget('a'), 1);
  assert.equal(warn('a'), true, 'a forgotten line is written at once');
});

test('lines with many distinct keys are limited too: those beyond the capacity share one count', () => {
  const { loggers, lines } = loggersInto({ logLevel: 'debug' });
  let now = 0;
  const repeated = new RepeatedLines(loggers('worker'), { intervalMs: 1_000, maxKeys: 3, now: () => now });
  for (let index = 0; index < 100_000; index += 1) repeated.warn(`record ${index}`, { index }, 'It failed');
  assert.deepEqual(
    lines().map(({ index }) => index),
    [0, 1, 2, 3],
  );
  now = 1_000;
  repeated.warn('new', {}, 'It failed');
  repeated.warn('newer', {}, 'It failed');
  assert.equal(lines().length, 6, 'keys unused for an interval are evicted');
});

test('a component logs the same warning at most 100 times a minute; info lines and lines of handlers are not limited', () => {
  const { loggers, lines } = loggersInto({ logLevel: 'info' });
  for (let index = 0; index < 5_000; index += 1) {
    loggers('worker').warn({ index }, 'It failed');
    loggers('task').error({ index }, 'It failed');
    loggers('worker').info({ index }, 'It went well');
  }
  loggers('stop').warn('It failed');
  const counts = new Map<string, number>();
  for (const { component, level } of lines())
    counts.set(`${String(component)} ${String(level)}`, (counts.get(`${String(component)} ${String(level)}`) ?? 0) + 1);
  assert.deepEqual(Object.fromEntries(counts), { 'worker 40': 100, 'task 50': 5_000, 'worker 30': 5_000, 'stop 40': 1 });
});
