import assert from 'node:assert/strict';
import { describe } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { FaultProxy } from '../../support/network/fault-proxy.js';
import type { NodeProcess } from '../../support/process/processes.js';
import type { FaultFleet } from './fault-fleet.js';
import { now, within } from './load/clock.js';
import { type FaultScenario, type Struck, faultTest } from './scenario.js';
import { type SingleRedis, singleRedis } from './single-redis.js';
import { FULL } from './size.js';

/** One redis-server and a faulty proxy to it. Clients and the first worker connect directly. */
interface BrokenWay extends SingleRedis {
  readonly proxy: FaultProxy;
}

const LASTS_MS = FULL ? 20_000 : 3_000;
const HALF_OPEN_LIMIT_MS = 20_000;
const [COMMANDS_NOTICED, SUBSCRIBER_NOTICED] = ['commands noticed after, ms', 'subscriber noticed after, ms'] as const;
const LOSSES = FULL ? 20 : 5;
const STOPPED_AMID = 5;

describe('The network between one of two workers and Redis', () => {
  through({
    fault: 'Network slow',
    setting: `250 ms each way, for ${LASTS_MS / 1_000} s`,
    about: 'The worker behind it is slower; a stop of its tasks takes as long as its messages.',
    onlyFull: true,
    breaks: async (proxy) => {
      proxy.delay(250);
      await delay(LASTS_MS);
      await proxy.heal();
    },
  });

  through({
    fault: 'Network resets',
    setting: `each connection, every 200 ms for ${LASTS_MS / 1_000} s`,
    about: 'Commands without an answer are sent again.',
    onlyFull: true,
    breaks: async (proxy) => {
      for (const until = now() + LASTS_MS; now() < until; await delay(200)) proxy.reset();
    },
  });

  through({
    fault: 'Network split',
    setting: `packets are dropped silently, for ${LASTS_MS / 1_000} s`,
    about: 'The worker gives up its connections and tasks; the tasks run elsewhere once their locks have expired.',
    onlyFull: true,
    breaks: async (proxy) => {
      proxy.halfOpen();
      await delay(LASTS_MS);
      await proxy.heal();
    },
  });

  through({
    fault: 'Network split in one direction',
    setting: `the worker reaches Redis but not vice versa, for ${LASTS_MS / 1_000} s`,
    about: 'As a split: commands that were executed but not answered are sent again.',
    onlyFull: true,
    breaks: async (proxy) => {
      proxy.split('toClient');
      await delay(LASTS_MS);
      await proxy.heal();
    },
  });

  through({
    fault: 'Connections half open',
    setting: 'dropped by the network; new ones work',
    about: 'Noticed by unanswered commands, and by a PING on the connection that receives stops.',
    onlyFull: true,
    breaks: async (proxy, fleet) => {
      const client = (fleet.options.deployment as BrokenWay).redis.client();
      const before = Number(await client.call('CLIENT', 'ID'));
      const at = now();
      proxy.halfOpen({ newConnections: false });
      // Only the worker behind the proxy reconnects.
      const noticed = async (name: string): Promise<number> => {
        await within(
          `a new ${name}`,
          60_000,
          () => client.call('CLIENT', 'LIST'),
          (list) => isListedAfter(before, name, String(list)),
        );
        return Math.round(now() - at);
      };
      const [commands, subscriber] = await Promise.all([noticed('taskfleet:worker'), noticed('taskfleet:worker:stop')]);
      return { [COMMANDS_NOTICED]: commands, [SUBSCRIBER_NOTICED]: subscriber };
    },
    check: (_, { figures = {} }) => {
      for (const name of [COMMANDS_NOTICED, SUBSCRIBER_NOTICED])
        assert.ok(Number(figures[name]) <= HALF_OPEN_LIMIT_MS, `${name}: ${figures[name]}`);
    },
  });

  for (const [what, script] of [
    ['the end of a task', 'moveToFinished'],
    ['a fetch', 'moveToActive'],
  ] as const) {
    through({
      fault: 'Reply lost after the script ran',
      setting: `${what}, ${LOSSES} times`,
      about: 'Sent again; the repetition recognises that it was executed.',
      onlyFull: script === 'moveToActive',
      breaks: async (proxy) => {
        for (let times = LOSSES; times > 0; times -= 1)
          await proxy.loseReply((request) => SCRIPTS[script].test(request.toString('latin1')));
      },
    });
  }
});

/** BullMQ's scripts by their keys instead of their hash: ends of jobs have 14 keys, fetches 11 with `wait` first. */
const SCRIPTS = {
  moveToFinished: /evalsha\r\n\$40\r\n\w{40}\r\n\$2\r\n14\r\n/i,
  moveToActive: /evalsha\r\n\$40\r\n\w{40}\r\n\$2\r\n11\r\n\$\d+\r\n[^\r]*:wait\r\n/i,
};

/** Returns whether a client newer than this id has this name. */
function isListedAfter(id: number, name: string, list: string): boolean {
  return list.split('\n').some((line) => Number(/^id=(\d+)/.exec(line)?.[1]) > id && line.includes(` name=${name} `));
}

type Breaks = (proxy: FaultProxy, fleet: FaultFleet) => Promise<Readonly<Record<string, number>> | void>;

/** A fault of the network between a worker and Redis, while running tasks of that worker are stopped. */
function through({ breaks, ...scenario }: Omit<FaultScenario, 'open' | 'strike'> & { readonly breaks: Breaks }): void {
  faultTest({
    ...scenario,
    open: openBrokenWay,
    workers: 1,
    strike: async (fleet) => {
      const { proxy } = fleet.options.deployment as BrokenWay;
      const behind = await fleet.startWorker({ env: { REDIS_URL: proxy.url } });
      await fleet.busy(behind);
      const at = now();
      const breaking = breaks(proxy, fleet);
      const stopping = stopThere(fleet, behind, at);
      const figures = await breaking;
      return { at, figures: { ...figures, ...(await stopping) } };
    },
  });
}

/** Stops some endless tasks of a worker. */
async function stopThere(fleet: FaultFleet, { pid }: NodeProcess, at: number): Promise<Struck['figures']> {
  const isOpen = (id: string): boolean => fleet.history.enqueued.get(id)?.kind === 'hold' && !fleet.history.asked.has(id);
  const there = fleet.log
    .refresh()
    .at(at)
    .filter((run) => run.pid === pid && isOpen(run.id))
    .slice(0, STOPPED_AMID);
  await Promise.all(there.map(({ id }) => fleet.load.stopSurely(id)));
  const settled = there.flatMap(({ id }) =>
    fleet.history
      .receiptsOf(id)
      .filter(({ receipt }) => receipt.outcome === 'cancelled')
      .map(({ answeredAt }) => answeredAt - at),
  );
  return { 'stops of what ran there': there.length, 'the last one settled after, ms': Math.round(Math.max(0, ...settled)) };
}

async function openBrokenWay(): Promise<BrokenWay> {
  const single = await singleRedis();
  const proxy = await FaultProxy.start(single.redis.port);
  const stop = async (): Promise<void> => {
    await proxy.stop();
    await single.stop();
  };
  return { ...single, proxy, stop };
}
