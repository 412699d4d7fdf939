import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, it } from 'node:test';
import { type DestinationStream, pino } from 'pino';
import type { LogLine, Producer } from '../../../../producer/index.js';
import { MAX_LOG_BYTES, MAX_LOG_LINES } from '../../../../shared/log/task-log.js';
import type { WorkerConfig } from '../../../../worker/index.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../../support/task/scripted-task.js';
import { until } from '../../../support/until.js';

const NO_DELAY = { attempts: 3, backoff: { type: 'fixed', delayMs: 0, jitter: 0 } } as const;

describe("A task's own log", () => {
  let fleet: TestFleet;
  let prefix: string;
  let producer: Producer;
  let task: ScriptedTask;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());
  beforeEach(() => {
    prefix = fleet.newPrefix();
    producer = fleet.producer({ keyPrefix: prefix });
    task = new ScriptedTask('log.task', { retry: NO_DELAY });
  });

  const start = (config: Partial<WorkerConfig> = {}) => fleet.worker(prefix, [task.handler], config);
  const linesOf = async (id: string): Promise<LogLine[]> => {
    const lines: LogLine[] = [];
    for await (const line of producer.logs(id)) lines.push(line);
    return lines;
  };
  const brief = ({ seq, level, attempt, message, fields }: LogLine) => [seq, level, attempt, message, fields];

  it('has the lines of every attempt, in order, also after a retry by a person', async () => {
    await start();
    const { id } = await producer.enqueue(task.definition, {});
    for (const index of [0, 1, 2]) {
      const call = await task.call(index);
      const { log } = call.context;
      log.info({ index }, 'began');
      log.child({ part: 'b' }).warn('from %s', 'a child');
      log.debug('not kept');
      call.throws(new Error('no'));
    }
    await until(
      () => producer.get(id),
      (view) => view?.state === 'failed',
    );
    await producer.retry(id);
    const last = await task.call(3);
    last.context.log.error({ error: new TypeError('oops') }, 'still bad');
    last.returns();
    await producer.result(id);
    const all = await linesOf(id);
    const failures = all.filter(({ message }) => /^(Attempt|Task) failed/.test(message));
    assert.deepEqual(
      failures.map(({ level, attempt, message, fields }) => [
        level,
        attempt,
        message,
        fields['of'],
        JSON.stringify(fields).includes('"message":"no"'),
      ]),
      [
        ['warn', 1, 'Attempt failed; retrying', 3, true],
        ['warn', 2, 'Attempt failed; retrying', 3, true],
        ['error', 3, 'Task failed', 3, true],
      ],
    );
    const lines = all.filter((line) => !failures.includes(line));
    assert.deepEqual(
      lines.slice(0, 6).map(({ level, attempt, message, fields }) => [level, attempt, message, fields]),
      [1, 2, 3].flatMap((attempt) => [
        ['info', attempt, 'began', { index: attempt - 1 }],
        ['warn', attempt, 'from a child', { part: 'b' }],
      ]),
    );
    const bad = lines[6];
    assert.equal(bad?.message, 'still bad');
    const { name, message: why, stack } = bad.fields['error'] as Record<string, string>;
    assert.deepEqual([name, why, /TypeError: oops\n {4}at /.test(stack ?? '')], ['TypeError', 'oops', true]);
    assert.ok(lines.every(({ at }) => at !== null && Math.abs(at.getTime() - Date.now()) < 60_000));
  });

  it('keeps lines from its own level on, whatever the level of the logger', async () => {
    const logged = new LogLines('error');
    await start({ loggers: logged.loggers, taskLogLevelKept: 'debug' });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const { log } = call.context;
    for (const level of ['trace', 'debug', 'info', 'error'] as const) log[level](`at ${level}`);
    assert.equal(log.isLevelEnabled('debug'), true);
    log.level = 'warn';
    log.info('now beyond both');
    log.warn('now logged');
    call.returns();
    await producer.result(id);
    assert.deepEqual((await linesOf(id)).map(brief), [
      [1, 'debug', 1, 'at debug', {}],
      [2, 'info', 1, 'at info', {}],
      [3, 'error', 1, 'at error', {}],
      [4, 'warn', 1, 'now logged', {}],
    ]);
    const ours = logged.lines.filter(({ component }) => component === 'task');
    assert.deepEqual(
      ours.map(({ msg, task: of }) => [msg, of]),
      [
        ['at error', id],
        ['now logged', id],
      ],
    );
  });

  it('is empty with TASK_LOG_LEVEL_KEPT=silent', async () => {
    const logged = new LogLines('info');
    await start({ loggers: logged.loggers, taskLogLevelKept: 'silent' });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    call.context.log.error('logged only');
    call.returns();
    await producer.result(id);
    assert.deepEqual([await linesOf(id), logged.find(/logged only/).length], [[], 1]);
  });

  it("uses a program's own pino logger: its level, redaction, serializers and message key", async () => {
    const written: Record<string, unknown>[] = [];
    const own = pino(
      {
        level: 'warn',
        messageKey: 'text',
        redact: ['iban'],
        serializers: { user: ({ id }: { id: number }) => `user ${id}` },
        hooks: { streamWrite: (line) => line.replaceAll('hidden', '******') },
      },
      {
        write: (line: string) => void written.push(JSON.parse(line) as Record<string, unknown>),
        flush: (done: () => void) => {
          written.push({ flushed: true });
          done();
        },
      } as DestinationStream,
    );
    await start({ loggers: own, logLevel: 'trace' });
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    const { log } = call.context;
    log.info({ iban: 'DE1', user: { id: 7 }, password: 'p' }, 'kept, hidden');
    log.error({ user: { id: 8 } }, 'both');
    await new Promise((resolve) => log.flush(resolve));
    assert.deepEqual(written.at(-1), { flushed: true });
    call.returns();
    await producer.result(id);
    assert.deepEqual((await linesOf(id)).map(brief), [
      [1, 'info', 1, 'kept, ******', { iban: '[Redacted]', user: 'user 7', password: '***' }],
      [2, 'error', 1, 'both', { user: 'user 8' }],
    ]);
    const ours = written.filter(({ component }) => component === 'task');
    assert.deepEqual(
      ours.map(({ text, user, component }) => [text, user, component]),
      [['both', 'user 8', 'task']],
    );
  });

  it('keeps the last 1,000 lines of a handler that logs without a pause, and counts the others', async () => {
    await start();
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    call.context.log.info('first');
    await until(
      () => producer.logPage(id),
      ({ lines }) => lines.length === 1,
    );
    for (let n = 2; n <= 5_000; n += 1) call.context.log.info(`line ${n}`);
    call.returns();
    await producer.result(id);
    const lines = await linesOf(id);
    assert.deepEqual([lines.length, (await producer.logPage(id)).dropped], [MAX_LOG_LINES, 4_000]);
    assert.ok(lines.every(({ seq, message }) => message === `line ${seq}`));
  });

  it('keeps the last 256 KiB, across batches', async () => {
    await start();
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    for (let batch = 0; batch < 10; batch += 1) {
      for (let n = 1; n <= 10; n += 1) call.context.log.info({ n: batch * 10 + n }, 'é'.repeat(3_000));
      await until(
        () => producer.logPage(id, { after: batch * 10 + 9 }),
        ({ lines }) => lines.length === 1,
      );
    }
    call.returns();
    await producer.result(id);
    const texts = await fleet.client.lrange(`${fleet.keys(prefix).jobs(task.definition.queue)}${id}:logs`, 0, -1);
    const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    assert.ok(bytes <= MAX_LOG_BYTES && bytes > MAX_LOG_BYTES - 10_000, `${bytes} bytes`);
    const lines = await linesOf(id);
    assert.ok(lines.every(({ seq, fields }) => fields['n'] === seq));
    assert.equal(lines.at(-1)?.seq, 100);
  });

  it('keeps what an abandoned handler logged before, and ignores it afterwards', async () => {
    const logged = new LogLines('info');
    const slow = new ScriptedTask('log.slow', { timeoutMs: 30 });
    await fleet.worker(prefix, [slow.handler], { stopGraceMs: 0, loggers: logged.loggers });
    const { id } = await producer.enqueue(slow.definition, {});
    const call = await slow.call();
    call.context.log.info('before');
    await until(
      () => producer.get(id),
      (view) => view?.state === 'failed',
    );
    call.context.log.info('afterwards');
    call.returns();
    assert.equal(logged.find(/^afterwards$/).length, 1);
    assert.deepEqual(
      (await linesOf(id)).filter(({ fields }) => !('error' in fields)).map(({ message }) => message),
      ['before'],
    );
  });

  it('has the lines of a handler whose worker dies', async () => {
    const worker = await start();
    const { id } = await producer.enqueue(task.definition, {});
    const call = await task.call();
    call.context.log.info('alone');
    const [line] = await until(
      () => linesOf(id),
      ({ length }) => length > 0,
    );
    assert.equal(line?.message, 'alone');
    void worker.stop();
    await call.aborted;
    call.context.log.info('requeued');
    call.throws(new Error('aborted'));
    await worker.stop();
    assert.deepEqual(
      (await linesOf(id)).map(({ message }) => message),
      ['alone', 'requeued'],
    );
  });
});
