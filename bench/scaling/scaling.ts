import { type Measured, defineSuite } from '../harness/suite.js';
import { CURVES, MOST_PROCESSES, rowName, unitRows, windowRows } from './curves.js';
import { WorkerProcesses } from './processes.js';
import { publishScaling } from './publish.js';
import { oneServer, openCluster } from './servers.js';
import { measureUnits } from './units.js';
import { type Window, measureWindow } from './window.js';

export const scaling = defineSuite({
  name: 'scaling',
  about:
    'Tasks that wait 10 ms, 12 at a time in each of 1 to 6 worker processes, on one Redis and on a cluster of three masters. ' +
    'A redis-server on a third of a core is stopped by SIGSTOP two thirds of the time',
  sizes: {
    rounds: { full: 1, quick: 1 },
    backlog: { full: 16_000, quick: 5_000 },
    'window-ms': { full: 1_500, quick: 400 },
  },
  onDemand: true,
  publish: publishScaling,
  async run({ redis, sizes, step }): Promise<Measured> {
    const one = oneServer(redis);
    const cluster = await openCluster();
    const workers = WorkerProcesses.open(MOST_PROCESSES);
    const windows = new Map<string, Window[]>();
    try {
      for (let round = 1; round <= sizes.rounds; round += 1)
        for (let processes = 1; processes <= MOST_PROCESSES; processes += 1)
          for (const { name, onCluster, shards, share } of CURVES) {
            const row = rowName(name, processes);
            step(`round ${round} of ${sizes.rounds}, ${row}`);
            const options = { processes, shards, share, backlog: sizes.backlog, windowMs: sizes['window-ms'] };
            const window = await measureWindow(onCluster ? cluster.servers : one, workers, options);
            windows.set(row, [...(windows.get(row) ?? []), window]);
          }
      step('costs of an enqueue, a stop, an idle worker and a live task');
      return { rows: [...windowRows(windows), ...unitRows(await measureUnits(redis, one, workers))] };
    } finally {
      await workers.close();
      await cluster.stop();
    }
  },
});
