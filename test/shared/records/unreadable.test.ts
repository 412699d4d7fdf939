import assert from 'node:assert/strict';
import { test } from 'node:test';
import { kindOfKey } from '../../../shared/records/unreadable-kinds.js';
import { Unreadable, isWrongType } from '../../../shared/records/unreadable.js';
import { LogLines } from '../../support/fleet/log-lines.js';

const HOUR_MS = 3_600_000;

function createReporter(): { unreadable: Unreadable; log: LogLines; kinds: string[]; pass: (ms: number) => void } {
  const log = new LogLines();
  const kinds: string[] = [];
  let now = 0;
  const unreadable = new Unreadable({
    logger: log.loggers('redis'),
    prefix: 'p',
    taskCounters: { unreadable: (kind) => void kinds.push(kind) },
    now: () => now,
  });
  return { unreadable, log, kinds, pass: (ms) => void (now += ms) };
}

test('a record that cannot be read is logged and counted once an hour', () => {
  const { unreadable, log, kinds, pass } = createReporter();
  const record = { key: 'p:bull:chat:x', id: 'x', problem: 'expected a hash, found a list' };
  for (let i = 0; i < 1_000; i += 1) unreadable.report(record);
  unreadable.report({ ...record, id: 'y' });
  assert.deepEqual(kinds, ['task', 'task']);
  assert.deepEqual(
    log.lines.map(({ id, problem }) => [id, problem]),
    [
      ['x', record.problem],
      ['y', record.problem],
    ],
  );
  pass(HOUR_MS);
  unreadable.report(record);
  assert.equal(log.lines.length, 3);
});

test('records beyond the remembered ones share one line an hour', () => {
  const { unreadable, log, kinds, pass } = createReporter();
  for (let i = 0; i < 5_000; i += 1) unreadable.report({ key: 'p:tasks', id: `one-${i}`, problem: 'bad' });
  assert.ok(log.lines.length <= 2_001, `${log.lines.length} lines`);
  assert.equal(kinds.length, 2_001);
  pass(HOUR_MS);
  unreadable.report({ key: 'p:tasks', id: 'one-0', problem: 'bad' });
  assert.equal(kinds.length, 2_002);
});

test('long names and problems are truncated', () => {
  const { unreadable, log } = createReporter();
  unreadable.report({ key: `p:tasks:item:${'k'.repeat(1_000_000)}`, id: 'i'.repeat(1_000_000), problem: 'w'.repeat(1_000_000) });
  assert.ok(JSON.stringify(log.lines).length < 1_500);
});

test('a report never throws, even if the log or the counter does', () => {
  const fail = (): never => {
    throw new Error('no space left on device');
  };
  const { loggers } = new LogLines();
  const logger = loggers('redis');
  logger.warn = fail;
  assert.doesNotThrow(() =>
    new Unreadable({ logger, prefix: 'p', taskCounters: { unreadable: fail } }).report({ key: 'p:tasks', problem: 'bad' }),
  );
});

test('reading a key of another type returns the fallback and reports it; other errors are thrown', async () => {
  const { unreadable, log } = createReporter();
  const wrong = new Error('WRONGTYPE Operation against a key holding the wrong kind of value');
  assert.deepEqual(await unreadable.read('p:queues', 'set', Promise.reject(wrong), ['none']), ['none']);
  assert.equal(log.lines[0]?.['problem'], 'expected a set, found a key of another type');
  assert.ok(isWrongType(wrong));
  await assert.rejects(unreadable.read('p:queues', 'set', Promise.reject(new Error('ERR')), []), /^Error: ERR$/);
});

test('the kind of a record follows from its key, on a single server and on a cluster', () => {
  const kinds = (prefix: string, ...keys: string[]): string[] => keys.map((key) => kindOfKey(prefix, key));
  assert.deepEqual(
    kinds(
      'p',
      'p:bull:chat:wait',
      'p:bull:chat:a:b',
      'p:bull:chat:kept:failed:chat.completion',
      'p:tasks:live',
      'p:tasks:stops',
      'p:tasks:item:x',
      'p:workers:w',
      'p:else',
      'q:tasks',
    ),
    ['queue', 'task', 'queue', 'registry', 'stop', 'registry', 'worker', 'other', 'other'],
  );
  assert.deepEqual(kinds('{p}', '{p:bull:chat}:chat:wait', '{p:bull:chat}:chat:1', '{p}:schedules'), ['queue', 'task', 'schedule']);
});
