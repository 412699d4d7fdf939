import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MAX_LOG_LINES, parseLogLine } from '../../../../shared/log/task-log.js';
import type { ScriptedRedis } from '../../../../shared/scripts/define-scripts.js';
import { LogBacklog, LogWriter } from '../../../../worker/run/log/log-writer.js';
import { type Deferred, deferred } from '../../../support/deferred.js';

interface Append {
  readonly dropped: number;
  readonly lines: readonly string[];
  readonly reply: Deferred<unknown>;
}

/** A writer over a Redis whose replies the test gives. */
function open(backlog = new LogBacklog()) {
  const appends: Append[] = [];
  const lost: number[] = [];
  let onAppend = deferred();
  const redis = {
    appendLog: (...[, , , , dropped, , , ...lines]: (string | number)[]) => {
      const reply = deferred<unknown>();
      appends.push({ dropped: Number(dropped), lines: lines.map(String), reply });
      onAppend.resolve();
      return reply.promise;
    },
  } as unknown as ScriptedRedis;
  const writer = new LogWriter({
    ...{ redis, job: 'job', attempt: 2, clock: { now: () => 0 }, backlog },
    onError: (_, lines) => void lost.push(lines),
  });
  const next = async (): Promise<Append> => {
    await onAppend.promise;
    onAppend = deferred();
    return appends.at(-1) as Append;
  };
  return { writer, appends, lost, next };
}

test('one batch is on its way at a time, and the newest lines wait for it', async () => {
  const backlog = new LogBacklog();
  const { writer, appends, next } = open(backlog);
  writer.add('first');
  const first = await next();
  for (let n = 1; n <= MAX_LOG_LINES + 500; n += 1) writer.add(`line ${n}`);
  assert.deepEqual([appends.length, first.lines], [1, ['first']]);
  assert.ok(backlog.bytes > 0);
  first.reply.resolve(1);
  const second = await next();
  assert.deepEqual([second.dropped, second.lines.length, second.lines[0]], [500, MAX_LOG_LINES, 'line 501']);
  second.reply.resolve(1);
  writer.close();
  await writer.written();
  assert.equal(backlog.bytes, 0);
});

test('closing sends what waits, and ignores later lines', async () => {
  const { writer, appends } = open();
  writer.add('one');
  writer.close();
  writer.add('two');
  writer.close();
  assert.deepEqual(
    appends.map(({ lines }) => lines),
    [['one']],
  );
  appends[0]?.reply.resolve(1);
  await writer.written();
});

test('lines that Redis refused are reported, and noted in the log with the next batch', async () => {
  const { writer, lost, next } = open();
  writer.add('refused');
  writer.add('refused too');
  (await next()).reply.reject(new Error('OOM command not allowed'));
  await writer.written();
  writer.add('stored');
  const { lines, reply } = await next();
  const { message, level, attempt } = parseLogLine(lines[0] ?? '', 1);
  assert.deepEqual([level, attempt, message], ['warn', 2, '2 log lines were lost: Redis refused to store them']);
  assert.deepEqual([lines.slice(1), lost], [['stored'], [2]]);
  reply.resolve(1);
});

test('a process with too many unwritten lines keeps the last one of each run', async () => {
  const backlog = new LogBacklog(20);
  const [a, b] = [open(backlog), open(backlog)];
  for (const { writer } of [a, b]) for (const n of [1, 2, 3]) writer.add(`${n}`.repeat(10));
  const [first, second] = [await a.next(), await b.next()];
  assert.deepEqual([first.lines, second.lines, second.dropped], [['2222222222', '3333333333'], ['3333333333'], 2]);
  for (const { reply } of [first, second]) reply.resolve(1);
  for (const { writer } of [a, b]) await writer.written();
  assert.equal(backlog.bytes, 0);
});
