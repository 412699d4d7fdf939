/**
 * The worker process of a peer: runs jobs and reports their times to its parent, by the machine's monotonic clock. Arguments: the peer,
 * its servers as JSON, and the number of slots.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type PeerName, loadPeer } from '../compared/catalog.js';
import type { Run, Servers, Work } from '../compared/peer.js';
import { now } from '../compared/spin/clock.js';
import { spin } from '../compared/spin/spin.mjs';
import type { Command, ExpectedJobs, Report } from './worker-process.js';

const [name, servers, slots] = process.argv.slice(2) as [PeerName, string, string];
const report = (message: Report): void => void process.send?.(message);
const cpuUs = (): number => {
  const { user, system } = process.cpuUsage();
  return user + system;
};

let seen = 0;
let expected: ExpectedJobs = { jobs: 0, warmUp: 0 };

/** Reports the first job that counts, and the last. */
function count(): void {
  seen += 1;
  if (seen === expected.warmUp + 1) report({ what: 'first', key: '', at: now(), cpuUs: cpuUs() });
  if (seen === expected.jobs) report({ what: 'last', key: '', at: now() });
}

/** Resolves after `ms`; rejects once stopped. */
function hold({ key, ms }: Work, signal: AbortSignal): Promise<void> {
  report({ what: 'started', key, at: now() });
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      report({ what: 'told', key, at: now() });
      clearTimeout(timer);
      reject(signal.reason as Error);
    });
  });
}

const run: Run = async (work, signal) => {
  if (work.kind === 'hold') return hold(work, signal);
  if (work.kind === 'spin') return spin(work.file, work.ms);
  if (work.key !== '') report({ what: 'started', key: work.key, at: now() });
  if (work.kind === 'sleep') await delay(work.ms);
  count();
};

const module = await loadPeer(name);
const peer = await module.open(JSON.parse(servers) as Servers);
process.on('message', (command: Command) => {
  if (command.ask === 'cpu') report({ what: 'cpu', key: '', at: now(), cpuUs: cpuUs() });
  if (command.ask === 'create')
    void peer.enqueueOne(command.work).then((id) => report({ what: 'created', key: command.work.key, at: now(), id }));
  if (command.ask === 'begin') {
    expected = command;
    void peer.work(run, { concurrency: Number(slots) }).then(() => report({ what: 'ready', key: '', at: now() }));
  }
  if (command.ask === 'close') void peer.close().finally(() => process.exit(0));
});
process.on('disconnect', () => process.exit(0));
// Ctrl+C reaches the whole group: the parent ends this process.
process.on('SIGINT', () => undefined);
report({ what: 'loaded', key: '', at: now() });
