import { type Measured, defineSuite } from '../harness/suite.js';
import { stopBare, stopInTurn, stopQueued, stopRunning } from './item-stops.js';

const RUNNING = 1_000;
const QUEUED = 10_000;

export const items = defineSuite({
  name: 'items',
  about:
    'Stops of an item: 1,000 running tasks beside four round trips each in turn, 10,000 queued tasks beside a bare script that ends them',
  sizes: { rounds: { full: 3, quick: 1 } },
  async run({ redis: { url }, client, sizes, step }): Promise<Measured> {
    const running = { stopItem: [] as number[], 'all settled': [] as number[], bare: [] as number[] };
    const queued = { stopItem: [] as number[], 'all settled': [] as number[], bare: [] as number[] };
    const empty = async <Result>(work: () => Promise<Result>): Promise<Result> => {
      await client.flushall();
      return work();
    };
    for (let round = 1; round <= sizes.rounds; round += 1) {
      step(`round ${round} of ${sizes.rounds}`);
      const ran = await empty(() => stopRunning(url, RUNNING));
      running.stopItem.push(ran.call);
      running['all settled'].push(ran.settled);
      running.bare.push(await empty(() => stopInTurn(url, RUNNING)));
      const waited = await empty(() => stopQueued(url, QUEUED));
      queued.stopItem.push(waited.call);
      queued['all settled'].push(waited.settled);
      queued.bare.push(await empty(() => stopBare(url, QUEUED)));
    }
    const ratios = [{ of: 'all settled', to: 'bare', better: 'lower' }] as const;
    return {
      rows: [
        { name: '1,000 running tasks', unit: 'ms', sides: running, ratios },
        { name: '10,000 queued tasks', unit: 'ms', sides: queued, ratios },
      ],
    };
  },
});
