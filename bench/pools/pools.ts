import { defineSuite } from '../harness/suite.js';
import { cleanLargePool, raceTouches, weighTouch } from './usage-pool.js';

const SESSIONS = 100;

export const pools = defineSuite({
  name: 'pools',
  about: 'Clean-ups of a large usage pool with 100 sessions a model, and touches in a race with them',
  sizes: { rounds: { full: 1, quick: 1 }, models: { full: 10_000, quick: 1_000 }, touches: { full: 50_000, quick: 5_000 } },
  async run({ redis, client, sizes, step }) {
    step('clean-ups');
    const phases = await cleanLargePool(redis.url, client, { models: sizes.models, sessions: SESSIONS });
    await client.flushall();
    step('touches');
    const { phase, lost } = await raceTouches(redis.url, client, sizes.touches);
    if (lost > 0) throw new Error(`${lost} touched sessions were lost in the race with the cleaner`);
    await client.flushall();
    const { refreshed, added } = await weighTouch(redis.url, client, SESSIONS);
    const all = [...phases, phase];
    return {
      rows: [
        ...all.map(({ name, tookMs, p99Ms, slowestMs }) => ({
          name,
          unit: 'ms',
          sides: { took: [tookMs], 'script p99': [p99Ms], 'slowest script': [slowestMs] },
        })),
        { name: 'a touch, time in Redis', unit: 'µs', sides: { 'known session': [refreshed], 'new session': [added] } },
      ],
      notes: all.map(({ name, did }) => `${name}: ${did}`),
    };
  },
});
