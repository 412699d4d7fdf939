import { defineSuite } from '../harness/suite.js';
import { runMix } from './emptiness.js';

export const mix = defineSuite({
  name: 'mix',
  about: 'Tasks that complete, fail after a retry or are stopped, on 50 items; nothing may remain in the registry',
  sizes: { rounds: { full: 1, quick: 1 }, tasks: { full: 20_000, quick: 3_000 } },
  async run({ redis, client, sizes: { tasks } }) {
    const { completed, failed, cancelled, left } = await runMix(redis.url, client, tasks);
    if (left.length > 0) throw new Error(`left in the registry: ${left.join(', ')}`);
    const ended = completed + failed + cancelled;
    if (ended !== tasks) throw new Error(`${tasks - ended} of ${tasks} tasks have no outcome`);
    return { rows: [{ name: 'outcomes', unit: 'tasks', sides: { completed: [completed], failed: [failed], cancelled: [cancelled] } }] };
  },
});
