import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { now } from './load/clock.js';
import { faultTest } from './scenario.js';
import { redisOf, singleRedis } from './single-redis.js';
import { FULL } from './size.js';

/** Longer than the lock duration. */
const FULL_MS = FULL ? 20_000 : 3_000;

describe('A Redis without memory', () => {
  faultTest({
    fault: 'maxmemory reached',
    setting: `noeviction, for ${FULL_MS / 1_000} s`,
    about: 'Enqueues are refused with the setting to change; running tasks finish, stops work.',
    open: () => singleRedis(),
    load: { small: { backlog: 60 } },
    strike: async (fleet) => {
      const client = redisOf(fleet).client();
      const used = Number(/used_memory:(\d+)/.exec(await client.info('memory'))?.[1]);
      const running = fleet.log.refresh().at(now());
      await client.config('SET', 'maxmemory', Math.round(used * 0.8));
      const at = now();
      await delay(FULL_MS);
      const ended = running.filter(({ id }) => (fleet.ends.ends.get(id) ?? []).length > 0).length;
      const stops = fleet.history.stops.filter(({ askedAt, receipt }) => askedAt > at && receipt.outcome === 'cancelled').length;
      const refusedStops = fleet.history.refusedStops.length;
      const lockLost = fleet.log
        .refresh()
        .all()
        .filter(({ aborted }) => aborted === 'LockLost').length;
      const ends = [...fleet.ends.ends.values()].flat().filter((end) => end.at > at).length;
      const overAt = now();
      await client.config('SET', 'maxmemory', 0);
      return {
        at,
        figures: {
          'running before': running.length,
          'of them ended meanwhile': ended,
          'ended meanwhile': ends,
          'stops settled meanwhile': stops,
          'stops refused': refusedStops,
          'handlers that lost their lock': lockLost,
          'over after': Math.round(overAt - at),
        },
      };
    },
    check: ({ history }) => {
      assert.equal(history.refusedStops.length, 0, JSON.stringify(history.refusedStops[0]));
    },
  });
});
