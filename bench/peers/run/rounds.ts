import type { PeerInfo, PeerModule, Servers } from '../compared/peer.js';
import type { Job, Options } from '../options.js';
import { jobOf, metricOf } from '../report/metrics.js';
import type { Sample } from '../report/statistics.js';
import { measureEnqueue } from './enqueue.js';
import { measureNoop, measureSleepAndStarts } from './process.js';
import { measureStops } from './stop.js';
import { Turn } from './turn.js';

export interface ServerControl {
  /** Returns the CPU time of a server so far, in µs; null where the system does not say. */
  cpuUs(server: PeerInfo['server']): number | null;
  /** Makes a server empty, and returns how to reach it. */
  empty(server: PeerInfo['server']): Promise<Servers>;
}

export interface RoundsContext {
  readonly folder: string;
  /** Aborted when the servers go down: the error of a peer is then none of its own. */
  readonly signal: AbortSignal;
  readonly say: (line: string) => void;
}

export interface RoundsResult {
  readonly rounds: number;
  readonly jobs: readonly Job[];
  readonly samples: readonly Sample[];
  readonly failures: readonly string[];
}

/**
 * Runs rounds: in each, every peer has one turn, and each round begins with another peer. Ends after the given number, or once a further
 * round would exceed the time. A peer that fails in a turn has no values of that part; the others go on.
 */
export async function runRounds(
  modules: readonly PeerModule[],
  control: ServerControl,
  options: Pick<Options, 'jobs' | 'rounds' | 'sizes' | 'budgetMs'>,
  context: RoundsContext,
): Promise<RoundsResult> {
  const samples: Sample[] = [];
  const failures: string[] = [];
  const start = performance.now();
  let longest = 0;
  let round = 0;
  while (round < options.rounds && performance.now() - start + longest < options.budgetMs) {
    round += 1;
    const begun = performance.now();
    for (let turn = 0; turn < modules.length; turn += 1) {
      const module = modules[(round + turn) % modules.length] as PeerModule;
      const values = await takeTurn(module, control, options, {
        ...context,
        fail: (reason) => void failures.push(`round ${round}: ${reason}`),
      });
      for (const [metric, all] of values) for (const value of all) samples.push({ peer: module.info.name, metric, round, value });
    }
    longest = Math.max(longest, performance.now() - begun);
    context.say(`round ${round} of at most ${options.rounds}: ${((performance.now() - begun) / 1_000).toFixed(0)} s`);
  }
  return { rounds: round, jobs: options.jobs, samples, failures };
}

interface TurnOptions extends RoundsContext {
  readonly fail: (reason: string) => void;
}

async function takeTurn(
  module: PeerModule,
  control: ServerControl,
  { jobs, sizes }: Pick<Options, 'jobs' | 'sizes'>,
  { folder, signal, say, fail }: TurnOptions,
): Promise<ReadonlyMap<string, number[]>> {
  const { info } = module;
  const values = new Map<string, number[]>();
  for (const part of partsOf(info, jobs)) {
    const begun = performance.now();
    try {
      const servers = await control.empty(info.server);
      const peer = await module.open(servers);
      const turn = new Turn({ info, peer, servers, sizes, folder, serverCpuUs: () => control.cpuUs(info.server) });
      try {
        await part.measure(turn);
      } finally {
        await peer.close();
      }
      for (const [metric, all] of turn.values) if (isChosen(metric, jobs)) values.set(metric, all);
    } catch (error) {
      signal.throwIfAborted();
      const reason = `${info.name}, ${part.name}: ${error instanceof Error ? error.message : String(error)}`;
      say(reason);
      fail(reason);
    }
    say(`  ${info.name}, ${part.name}: ${((performance.now() - begun) / 1_000).toFixed(1)} s`);
  }
  return values;
}

interface Part {
  readonly name: string;
  readonly measure: (turn: Turn) => Promise<void>;
}

/** The parts of a turn; each starts with an empty server. Processing runs the jobs that the enqueues leave. */
function partsOf(info: PeerInfo, jobs: readonly Job[]): Part[] {
  const offers = (capability: keyof PeerInfo['capabilities']): boolean => 'how' in info.capabilities[capability];
  const processes = jobs.includes('process') && offers('process');
  const starts = jobs.includes('latency') && offers('latency');
  const stops = jobs.includes('stop') && (offers('stopWaiting') || offers('stopRunning'));
  return [
    ...(jobs.includes('enqueue') || processes ? [{ name: 'enqueue', measure: (turn: Turn) => enqueueThenRun(turn, processes) }] : []),
    ...(processes || starts
      ? [{ name: 'process', measure: (turn: Turn) => measureSleepAndStarts(turn, { sleep: processes, starts }) }]
      : []),
    ...(stops ? [{ name: 'stop', measure: measureStops }] : []),
  ];
}

async function enqueueThenRun(turn: Turn, processes: boolean): Promise<void> {
  const queued = await measureEnqueue(turn);
  if (processes) await measureNoop(turn, queued);
}

function isChosen(metric: string, jobs: readonly Job[]): boolean {
  return jobs.includes(jobOf(metricOf(metric).section));
}
