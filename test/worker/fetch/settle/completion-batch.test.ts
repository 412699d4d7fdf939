import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Worker } from 'bullmq';
import { ReplyError } from 'ioredis';
import { FINISH_KEYS } from '../../../../shared/scripts/finish-jobs.js';
import type { ExecuteScript } from '../../../../worker/fetch/bullmq-overrides.js';
import { batchCompletions } from '../../../../worker/fetch/settle/completion-batch.js';

const KEYS = Array.from({ length: FINISH_KEYS }, (_, index) => `key-${index + 1}`);

/** A worker whose calls of scripts get an answer, and BullMQ's call for the end of a job. */
function newWorker(answer: (script: string, args: readonly unknown[]) => unknown) {
  const scripts: string[] = [];
  /** How many jobs each call ends. */
  const sizes: number[] = [];
  const backend: { execCommand: ExecuteScript } = {
    execCommand: async (_client, script, args) => {
      scripts.push(script);
      sizes.push(script === 'completeJobs' ? (args.length - FINISH_KEYS - 3) / 5 : 1);
      return answer(script, args);
    },
  };
  batchCompletions({ getBackend: () => backend } as unknown as Worker);
  const finish = (
    id: string,
    { result = 'null', target = 'completed', fields }: { result?: string; target?: string; fields?: Buffer } = {},
  ) => backend.execCommand('client', 'moveToFinished', [...KEYS, id, 1, 'returnvalue', result, target, 1, 'bull:', 'options', fields]);
  return { scripts, sizes, finish };
}

/** Answers with the ids of the jobs. */
function idsOf(script: string, args: readonly unknown[]): unknown {
  if (script === 'moveToFinished') return [[], args[FINISH_KEYS]];
  return args.slice(FINISH_KEYS + 3).flatMap((id, index) => (index % 5 === 0 ? [[[], id]] : []));
}

function replyError(message: string): Error {
  return new (ReplyError as new (message: string) => Error)(message);
}

describe('The completions of a turn', () => {
  it('share calls of at most 16 jobs and a limited length, and get their own replies', async () => {
    const { scripts, sizes, finish } = newWorker(idsOf);
    const ids = Array.from({ length: 37 }, (_, index) => `job-${index}`);
    assert.deepEqual(
      await Promise.all(ids.map((id) => finish(id))),
      ids.map((id) => [[], id]),
    );
    // Redis has little to do before the first calls, which are small.
    assert.deepEqual(sizes, [4, 4, 4, 16, 9]);
    assert.deepEqual([...new Set(scripts)], ['completeJobs']);
    await Promise.all([finish('long', { result: 'x'.repeat(20_000) }), finish('a'), finish('b')]);
    assert.deepEqual(scripts.slice(5), ['moveToFinished', 'completeJobs']);
  });

  it('are sent in small calls again once the others have got replies, failed ones too', async () => {
    const { sizes, finish } = newWorker(() => Promise.reject(new Error('Connection is closed.')));
    for (let turn = 0; turn < 2; turn += 1) await Promise.allSettled(Array.from({ length: 20 }, (_, index) => finish(`job-${index}`)));
    assert.deepEqual(sizes, [4, 4, 4, 8, 4, 4, 4, 8]);
  });

  it("leave all other ends to BullMQ's command", async () => {
    const { scripts, finish } = newWorker(idsOf);
    await Promise.all([finish('a', { fields: Buffer.of(0) }), finish('b', { target: 'failed' })]);
    await finish('c');
    assert.deepEqual(scripts, ['moveToFinished', 'moveToFinished', 'moveToFinished']);
  });

  it('fail together if Redis refuses the call or the connection is lost', async () => {
    for (const error of [replyError('READONLY You cannot write'), new Error('Connection is closed.')]) {
      const { scripts, finish } = newWorker(() => Promise.reject(error));
      const ends = await Promise.allSettled([finish('a'), finish('b'), finish('c')]);
      const failed = { status: 'rejected', reason: error };
      assert.deepEqual(ends, [failed, failed, failed]);
      assert.deepEqual(scripts, ['completeJobs']);
    }
  });

  it('fail by themselves if Redis cannot run the script for one job', async () => {
    const { scripts, finish } = newWorker((script, args) => {
      if (script === 'completeJobs' && args[FINISH_KEYS + 3] === 'a') throw replyError('WRONGTYPE Operation');
      return script === 'completeJobs' ? [0, 'WRONGTYPE Operation', -6] : 0;
    });
    const ends = await Promise.allSettled(['a', 'b', 'c', 'd'].map((id) => finish(id)));
    assert.deepEqual(
      ends.map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason))),
      ['ReplyError: WRONGTYPE Operation', 0, 'ReplyError: WRONGTYPE Operation', -6],
    );
    assert.deepEqual(scripts, ['completeJobs', 'completeJobs']);
  });
});
