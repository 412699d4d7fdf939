import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isFleetError } from '../../../shared/errors.js';
import { Service } from '../../../shared/process/service.js';
import { type Deferred, deferred } from '../../support/deferred.js';

/** Records its calls, and starts and stops on demand. */
class Recorder extends Service {
  readonly done: string[] = [];
  readonly started: Deferred<void> = deferred();
  readonly stopped: Deferred<void> = deferred();

  protected override async onStart(): Promise<void> {
    this.done.push('start');
    await this.started.promise;
    this.done.push('started');
  }

  protected override async onStop(): Promise<void> {
    this.done.push('stop');
    await this.stopped.promise;
    this.done.push('stopped');
  }
}

function ready(): Recorder {
  const service = new Recorder();
  service.started.resolve();
  service.stopped.resolve();
  return service;
}

test('it starts once, however often start is called', async () => {
  const service = ready();
  await Promise.all([service.start(), service.start()]);
  await service.start();
  assert.deepEqual(service.done, ['start', 'started']);
});

test('it stops once, however often stop is called', async () => {
  const service = ready();
  await service.start();
  await Promise.all([service.stop(), service.stop()]);
  await service.stop();
  assert.deepEqual(service.done, ['start', 'started', 'stop', 'stopped']);
});

test('a stop before the start does nothing, and the service can no longer start', async () => {
  const service = ready();
  await service.stop();
  await assert.rejects(service.start(), (error) => isFleetError(error, 'CLOSED') && /Recorder/.test(error.message));
  assert.deepEqual(service.done, []);
});

test('a stopped service does not start again', async () => {
  const service = ready();
  await service.start();
  await service.stop();
  await assert.rejects(service.start(), (error) => isFleetError(error, 'CLOSED'));
  assert.equal(service.stopping, true);
});

test('a stop during the start waits for the start to end', async () => {
  const service = ready();
  const slow = new Recorder();
  slow.stopped.resolve();
  const starting = slow.start();
  const stopping = slow.stop();
  assert.deepEqual(slow.done, ['start']);
  slow.started.resolve();
  await Promise.all([starting, stopping]);
  assert.deepEqual(slow.done, ['start', 'started', 'stop', 'stopped']);
  assert.equal(service.stopping, false);
});

test('a failed start is undone before its error is thrown', async () => {
  const service = new Recorder();
  const broken = new Error('no port');
  const starting = service.start();
  service.started.reject(broken);
  service.stopped.resolve();
  await assert.rejects(starting, broken);
  assert.deepEqual(service.done, ['start', 'stop', 'stopped']);
  await service.stop();
  assert.deepEqual(service.done, ['start', 'stop', 'stopped'], 'the start is not undone twice');
});

test('a stop during a failing start resolves', { timeout: 60_000 }, async () => {
  const service = new Recorder();
  const broken = new Error('no port');
  const starting = assert.rejects(service.start(), broken);
  const stopping = service.stop();
  service.started.reject(broken);
  service.stopped.resolve();
  await Promise.all([starting, stopping]);
  assert.deepEqual(service.done, ['start', 'stop', 'stopped']);
});

test('a start that throws synchronously is undone too', async () => {
  const done: string[] = [];
  class Hasty extends Service {
    protected override onStart(): Promise<void> {
      throw new Error('at once');
    }
    protected override onStop(): Promise<void> {
      done.push('stop');
      return Promise.resolve();
    }
  }
  await assert.rejects(new Hasty().start(), /at once/);
  assert.deepEqual(done, ['stop']);
});

test('the error of a start is thrown even if its undo fails', async () => {
  const service = new Recorder();
  const starting = service.start();
  service.started.reject(new Error('no port'));
  service.stopped.reject(new Error('cannot undo'));
  await assert.rejects(starting, /no port/);
});
