import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, constants, existsSync, mkdtempSync, openSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { LogSink, type LogLosses, writerTo } from '../../../shared/log/log-sink.js';
import { createLoggerFactory } from '../../../shared/log/logger.js';
import { logUncaught } from '../../../shared/process/process-life.js';
import { resolveSettings } from '../../../shared/settings/settings.js';

const noSpace = (): Error => Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });

/** A destination that accepts or refuses lines. */
class Disk {
  hasRoom = true;
  readonly lines: string[] = [];
  #onLine: (line: string) => void = () => undefined;

  readonly write = (line: string): void => {
    if (!this.hasRoom) throw noSpace();
    this.lines.push(line);
    this.#onLine(line);
  };

  next(): Promise<string> {
    return new Promise((resolve) => (this.#onLine = resolve));
  }
}

describe('A log with an unwritable destination', () => {
  it('ends no process, and reports the number of lost lines before the next written line', () => {
    const disk = new Disk();
    const loggers = createLoggerFactory({ settings: resolveSettings({}), destination: disk });
    const logger = loggers('worker');
    logger.info('first');
    disk.hasRoom = false;
    for (let line = 0; line < 3; line += 1) logger.error(new Error('lost'), 'lost');
    logger.fatal('lost');
    assert.deepEqual(loggers.losses?.(), { lost: 4, error: 'ENOSPC' });
    disk.hasRoom = true;
    logger.info('again');
    logger.info('last');
    const lines = disk.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    assert.deepEqual(
      lines.map(({ msg }) => msg),
      ['first', 'Lost 4 log lines: the log could not be written', 'again', 'last'],
    );
    assert.deepEqual([lines[1]?.['lost'], lines[1]?.['error']], [4, 'ENOSPC']);
    assert.deepEqual(loggers.losses?.(), { lost: 4, error: null });
  });

  it('reports lost lines soon, even if nothing else is logged', async () => {
    const disk = new Disk();
    const sink = new LogSink({ write: disk.write, notice: ({ lost }) => `${lost} lost\n` });
    disk.hasRoom = false;
    sink.write('lost\n');
    disk.hasRoom = true;
    const awake = setInterval(() => undefined, 60_000);
    assert.equal(await disk.next(), '1 lost\n');
    clearInterval(awake);
    assert.deepEqual(sink.losses, { lost: 1, error: null } satisfies LogLosses);
  });

  it('does the same in the human-readable format', () => {
    const disk = new Disk();
    const logger = createLoggerFactory({ settings: resolveSettings({}), pretty: true, destination: disk })('worker');
    disk.hasRoom = false;
    logger.info('lost');
    disk.hasRoom = true;
    logger.info('again');
    assert.match(disk.lines.join(''), /WARN.*Lost 1 log line:[^\n]*\n.*INFO.*again[^\n]*\n$/s);
  });

  it('accepts any thrown value', () => {
    const disk = new Disk();
    const logger = createLoggerFactory({ settings: resolveSettings({}), destination: disk })('worker');
    const hostile = Object.defineProperty(new Error('x'), 'message', { get: () => assert.fail('a getter') });
    const revoked = Proxy.revocable({}, {});
    revoked.revoke();
    for (const thrown of [
      new Error('x'),
      'x',
      undefined,
      null,
      Object.create(null),
      { toString: () => assert.fail('a method') },
      Symbol('x'),
      hostile,
      revoked.proxy,
    ]) {
      logUncaught(logger, 'fatal', thrown, 'Uncaught');
    }
    assert.equal(disk.lines.length, 9);
    for (const line of disk.lines) assert.match((JSON.parse(line) as { msg: string }).msg, /^Uncaught/);
  });
});

describe('A writer to a file descriptor', () => {
  const folder = mkdtempSync(join(tmpdir(), 'taskfleet-log-'));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('throws the error of the system', { skip: !existsSync('/dev/full') && 'this machine has no /dev/full' }, () => {
    const full = openSync('/dev/full', 'w');
    assert.throws(() => writerTo(full)('line\n'), { code: 'ENOSPC' });
    closeSync(full);
  });

  it('gives up on a pipe without a reader, and starts a new line after a truncated one', () => {
    const path = join(folder, 'pipe');
    execFileSync('mkfifo', [path]);
    const pipe = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
    const write = writerTo(pipe);
    const long = `${'x'.repeat(200_000)}\n`;
    assert.throws(() => write(long), { code: 'EAGAIN' });
    assert.throws(() => write('lost\n'), { code: 'EAGAIN' });
    const size = readSync(pipe, Buffer.alloc(1_000_000));
    assert.ok(size > 0 && size < long.length, `${size} bytes were written`);
    write('whole\n');
    const rest = Buffer.alloc(100);
    assert.equal(rest.toString('utf8', 0, readSync(pipe, rest)), '\nwhole\n');
    closeSync(pipe);
  });
});
