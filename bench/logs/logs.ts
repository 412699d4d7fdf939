import { defineSuite } from '../harness/suite.js';
import { weighLogs } from './task-logs.js';

export const logs = defineSuite({
  name: 'logs',
  about: 'Tasks that log: rate, and memory in Redis and in the worker',
  sizes: {
    rounds: { full: 1, quick: 1 },
    'log-tasks': { full: 200, quick: 50 },
    'log-lines': { full: 1_000, quick: 1_000 },
    'log-length': { full: 100, quick: 100 },
  },
  async run({ redis, client, sizes }) {
    const load = { tasks: sizes['log-tasks'], lines: sizes['log-lines'], length: sizes['log-length'] };
    const { rate, perTask, perLog, mostLines, mostBytes, worker, delayP99 } = await weighLogs(redis.url, client, load);
    return {
      rows: [
        { name: 'logging', unit: '', sides: { 'lines/s': [rate], 'event loop delay p99, ms': [delayP99] } },
        {
          name: 'memory',
          unit: 'KiB',
          sides: { task: [perTask / 1_024], 'its log': [perLog / 1_024], 'worker, at most': [worker / 1_024] },
        },
      ],
      notes: [
        `${load.tasks} tasks with ${load.lines} lines of ${load.length} characters; the longest log has ${mostLines} lines and ${mostBytes} bytes`,
      ],
    };
  },
});
