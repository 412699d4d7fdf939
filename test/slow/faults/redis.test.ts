import { readdir, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import type { TestRedis } from '../../support/redis/test-redis.js';
import { now } from './load/clock.js';
import { slowFsync } from './load/slow-fsync.js';
import { faultTest } from './scenario.js';
import { redisOf, singleRedis } from './single-redis.js';
import { FULL } from './size.js';

const AWAY_MS = FULL ? 5_000 : 500;
const PAUSE_MS = 8_000;
const LOOP_MS = FULL ? 10_000 : 1_500;
const FSYNC_MS = 500;
const SECOND_MS = 1_000;

describe('Faults of Redis', () => {
  for (const fsync of ['everysec', 'always']) {
    faultTest({
      fault: 'Redis killed (SIGKILL) and started again',
      setting: `appendfsync ${fsync}, away for ${AWAY_MS / 1_000} s`,
      about: 'The machine survives, so no write of Redis is lost.',
      open: () => singleRedis({ appendonly: 'yes', extraArgs: ['--appendfsync', fsync] }),
      onlyFull: fsync === 'always',
      strike: async (fleet) => {
        const redis = redisOf(fleet);
        await redis.kill();
        const at = now();
        await delay(AWAY_MS);
        await redis.restart();
        return { at };
      },
    });
  }

  faultTest({
    fault: 'The last second of the append-only file lost',
    setting: 'appendfsync everysec; Redis killed, the file cut, Redis started again',
    about: 'As in a power failure: writes that Redis acknowledged in the last second are undone.',
    open: () => singleRedis({ appendonly: 'yes', extraArgs: ['--appendfsync', 'everysec'] }),
    tolerates: ['lost', 'wrong end', 'two outcomes', 'stop lost', 'began after its stop', 'ran on after its stop', 'added though rejected'],
    strike: async (fleet) => {
      const redis = redisOf(fleet);
      const file = await appendOnlyFile(redis);
      const before = (await stat(file)).size;
      await delay(SECOND_MS);
      await redis.kill();
      const at = now();
      const after = (await stat(file)).size;
      await truncate(file, before);
      await redis.restart();
      return { at, figures: { 'KiB cut': Math.round((after - before) / 1_024) } };
    },
  });

  for (const mode of ['ALL', 'WRITE']) {
    faultTest({
      fault: 'CLIENT PAUSE',
      setting: `${mode}, ${PAUSE_MS / 1_000} s`,
      about: 'Commands wait until the pause is over.',
      open: () => singleRedis(),
      onlyFull: true,
      strike: async (fleet) => {
        await redisOf(fleet).client().call('CLIENT', 'PAUSE', PAUSE_MS, mode);
        const at = now();
        await delay(PAUSE_MS);
        return { at };
      },
    });
  }

  for (const [kind, everyMs] of [
    ['TYPE normal', 100],
    ['TYPE pubsub', 20],
    ['ID, one at random', 10],
  ] as const) {
    faultTest({
      fault: 'CLIENT KILL in a loop',
      setting: `${kind}, every ${everyMs} ms for ${LOOP_MS / 1_000} s`,
      about: 'Connections are reopened; unanswered commands are sent again, or rejected.',
      open: () => singleRedis(),
      onlyFull: !kind.startsWith('ID'),
      strike: async (fleet) => {
        const at = now();
        const cut = await killClients(redisOf(fleet), kind, everyMs, at + LOOP_MS);
        return { at, figures: { 'connections cut': cut } };
      },
    });
  }

  faultTest({
    fault: 'Slow disk',
    setting: `appendfsync always, each fsync takes ${FSYNC_MS / 1_000} s, for ${LOOP_MS / 1_000} s`,
    about: 'Everything is as slow as the disk; nothing fails.',
    onlyFull: true,
    open: () => singleRedis({ appendonly: 'yes', extraArgs: ['--appendfsync', 'always'] }),
    strike: async (fleet) => {
      const at = now();
      return { at, figures: { 'fsyncs held up': await slowFsync(redisOf(fleet).pid, FSYNC_MS, LOOP_MS) } };
    },
  });

  faultTest({
    fault: 'Redis frozen (SIGSTOP, SIGCONT)',
    setting: `${PAUSE_MS / 1_000} s`,
    about: 'Connections without an answer for 5 s (producers) or 15 s (workers) are reopened; Redis still executes received commands.',
    open: () => singleRedis(),
    onlyFull: true,
    strike: async (fleet) => {
      const { pid } = redisOf(fleet);
      process.kill(pid, 'SIGSTOP');
      const at = now();
      await delay(PAUSE_MS);
      process.kill(pid, 'SIGCONT');
      return { at };
    },
  });
});

/** Returns the current append-only file. */
async function appendOnlyFile({ dir }: TestRedis): Promise<string> {
  const folder = join(dir, 'appendonlydir');
  const name = (await readdir(folder))
    .filter((file) => file.endsWith('.incr.aof'))
    .toSorted()
    .at(-1);
  return join(folder, name as string);
}

/** Disconnects clients repeatedly. Returns their number. */
async function killClients(redis: TestRedis, kind: string, everyMs: number, until: number): Promise<number> {
  const client = redis.client();
  let cut = 0;
  while (now() < until) {
    if (kind.startsWith('TYPE')) cut += Number(await client.call('CLIENT', 'KILL', ...kind.split(' '), 'SKIPME', 'yes'));
    else {
      const own = String(await client.call('CLIENT', 'ID'));
      const ids = [...String(await client.call('CLIENT', 'LIST')).matchAll(/^id=(\d+)/gm)]
        .map(([, id = '']) => id)
        .filter((id) => id !== own);
      const victim = ids[Math.floor(Math.random() * ids.length)];
      if (victim !== undefined) cut += Number(await client.call('CLIENT', 'KILL', 'ID', victim));
    }
    await delay(everyMs);
  }
  return cut;
}
