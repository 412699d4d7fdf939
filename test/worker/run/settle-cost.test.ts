import assert from 'node:assert/strict';
import { Socket } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';
import { defineHandler, defineTask } from '../../../worker/index.js';
import { deferred } from '../../support/deferred.js';
import { ownWorker } from '../../support/fleet/own-worker.js';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { KEEP } from '../../support/task/keep.js';

const TASKS = 60;
/** Only a command that completes jobs has this word, once. */
const SETTLES = 'returnvalue';

interface Chunk {
  readonly chunk: string | Buffer;
}

/** The methods by which Node writes to a socket. */
interface Writer {
  _write: (this: Writer, chunk: string | Buffer, ...rest: unknown[]) => void;
  _writev: (this: Writer, chunks: readonly Chunk[], ...rest: unknown[]) => void;
}

/** Counts, until `stop`, the socket writes of this process that contain a word, and how often they contain it. */
function countWrites(word: string): { readonly counts: { writes: number; words: number }; readonly stop: () => void } {
  const counts = { writes: 0, words: 0 };
  const socket = Socket.prototype as unknown as Writer;
  const { _write: write, _writev: writev } = socket;
  const count = (chunks: readonly (string | Buffer)[]): void => {
    const found = chunks.reduce((sum, chunk) => sum + chunk.toString('latin1').split(word).length - 1, 0);
    if (found > 0) counts.writes += 1;
    counts.words += found;
  };
  socket['_write'] = function (chunk, ...rest) {
    count([chunk]);
    write.call(this, chunk, ...rest);
  };
  socket['_writev'] = function (chunks, ...rest) {
    count(chunks.map(({ chunk }) => chunk));
    writev.call(this, chunks, ...rest);
  };
  return { counts, stop: () => Object.assign(socket, { _write: write, _writev: writev }) };
}

describe('Tasks that end in one turn', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.start();
  });
  after(() => fleet.stop());

  for (const [how, rest] of [
    ['by one promise', () => Promise.resolve()],
    ['by timers of their own', () => sleep(20)],
  ] as const) {
    it(`${how} are settled by a few commands, in fewer socket writes, and leave the registry together`, () => assertFew(rest));
  }

  /** Lets tasks end together; each of them waits for `rest` of its own first. */
  async function assertFew(rest: () => Promise<void>): Promise<void> {
    const task = defineTask({ name: 'cheap.task', input: z.object({}), retention: KEEP });
    const goOn = deferred();
    const allRun = deferred();
    let running = 0;
    const handler = defineHandler(task, async () => {
      running += 1;
      if (running === TASKS) allRun.resolve();
      await goOn.promise;
      await rest();
    });
    // No background command repeats meanwhile.
    const { prefix, producer } = await ownWorker(fleet, [handler], { concurrency: TASKS, heartbeatMs: 60_000, lockMs: 600_000 });
    await Promise.all(Array.from({ length: TASKS }, () => producer.enqueue(task, {})));
    await allRun.promise;
    await fleet.client.config('RESETSTAT');
    const { counts, stop } = countWrites(SETTLES);
    goOn.resolve();
    await fleet.emptied(prefix);
    stop();
    assert.equal((await producer.count({ state: 'completed' })).count, TASKS);
    // A command settles 4 to 16 tasks; on a busy machine, the timers end in several turns.
    assert.ok(counts.words >= 2 && counts.words <= TASKS / 3, `${counts.words} commands`);
    assert.ok(counts.writes >= 1 && counts.writes <= counts.words, `${counts.writes} writes`);
    const calls = await fleet.commandCounts();
    // Settle, fetch nothing, index the ended tasks: the rest is background.
    assert.ok((calls['evalsha'] ?? 0) <= TASKS / 3 + 20, `${calls['evalsha']} scripts`);
    assert.ok((calls['hdel'] ?? 0) <= TASKS / 3, `${calls['hdel']} HDEL`);
  }
});
