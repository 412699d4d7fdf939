import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { beforeEach, describe, it } from 'node:test';
import { type ChildMessage, type HostProcess, ProcessLife, exitCodeOfSignal } from '../../../shared/process/process-life.js';
import { LogLines } from '../../support/fleet/log-lines.js';

const PENDING = 'pending';

/** Returns the value of a settled promise, else PENDING. */
function now<Value>(promise: Promise<Value>): Promise<Value | typeof PENDING> {
  return Promise.race([promise, new Promise<typeof PENDING>((resolve) => setImmediate(resolve, PENDING))]);
}

describe('ProcessLife', () => {
  let host: EventEmitter;
  let sent: ChildMessage[];
  let log: LogLines;

  beforeEach(() => {
    sent = [];
    log = new LogLines();
    const send = (message: ChildMessage, done: () => void): void => {
      sent.push(message);
      done();
    };
    host = Object.assign(new EventEmitter(), { connected: true, send });
  });

  function start(supervised = false): ProcessLife {
    return new ProcessLife({ host: host as unknown as HostProcess, logger: log.loggers('worker'), supervised });
  }

  it('shuts down on the first signal and exits at once on the second', async () => {
    const { shutdown, forced } = start();
    host.emit('SIGTERM', 'SIGTERM');
    assert.deepEqual([await shutdown, await now(forced)], [{ why: 'SIGTERM', code: 0 }, PENDING]);
    host.emit('SIGINT', 'SIGINT');
    host.emit('SIGTERM', 'SIGTERM');
    assert.equal(await forced, 'SIGINT');
    assert.deepEqual([exitCodeOfSignal('SIGHUP'), exitCodeOfSignal('SIGINT'), exitCodeOfSignal('SIGTERM')], [129, 130, 143]);
  });

  it('treats repeated SIGHUPs of a closing terminal as one', async () => {
    const { shutdown, forced } = start();
    for (let n = 0; n < 3; n += 1) host.emit('SIGHUP', 'SIGHUP');
    assert.deepEqual([await shutdown, await now(forced)], [{ why: 'SIGHUP', code: 0 }, PENDING]);
  });

  it('logs an uncaught exception and shuts down with code 70; only logs an unhandled rejection', async () => {
    const { shutdown } = start();
    host.emit('unhandledRejection', new Error('one'));
    assert.equal(await now(shutdown), PENDING);
    host.emit('uncaughtException', new Error('two'));
    assert.deepEqual(await shutdown, { why: 'uncaught exception', code: 70 });
    await log.waitFor(/Unhandled rejection/);
    await log.waitFor(/Uncaught exception; shutting down/);
  });

  it('when supervised, leaves Ctrl+C to its parent, reports readiness to it, and shuts down when the parent is gone', async () => {
    const life = start(true);
    host.emit('SIGINT', 'SIGINT');
    host.emit('SIGHUP', 'SIGHUP');
    assert.equal(await now(life.shutdown), PENDING);
    await life.announceReady('w1');
    assert.deepEqual(sent, [{ type: 'ready', id: 'w1' }]);
    host.emit('disconnect');
    assert.deepEqual(await life.shutdown, { why: 'the parent process is gone', code: 0 });
  });

  it('reports nothing without a supervisor', async () => {
    await start().announceReady('w1');
    assert.deepEqual(sent, []);
  });
});
