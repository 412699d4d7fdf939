import { parseArgs } from 'node:util';
import { PEERS, type PeerName } from './compared/catalog.js';
import type { Sizes } from './run/turn.js';

export const JOBS = ['enqueue', 'process', 'latency', 'stop'] as const;
export type Job = (typeof JOBS)[number];

export interface Options {
  readonly peers: readonly PeerName[];
  readonly jobs: readonly Job[];
  readonly rounds: number;
  readonly sizes: Sizes;
  /** No round starts that would probably end after this. */
  readonly budgetMs: number;
  /** Writes the results into docs/. */
  readonly write: boolean;
}

export const HELP = `npm run bench:peers [-- options]

Compares taskfleet with other job queues and writes docs/benchmarks.md, docs/benchmarks/peers.csv and docs/benchmarks/peers.svg.
It installs the packages of bench/peers/package-lock.json, and starts a redis-server and a PostgreSQL cluster of its own on loopback.
A whole run takes at most 8 minutes; leave the machine alone meanwhile. It waits up to three minutes for a quiet machine first.

  --quick            a trial with few jobs and one round, under 90 seconds; writes nothing
  --only PEER,...    of ${PEERS.join(', ')}; writes nothing
  --jobs JOB,...     of ${JOBS.join(', ')}; writes nothing
  --rounds N         the most rounds (default 7); the run ends earlier once its time is over
  --write            writes the results of a quick or partial run too
  --help`;

const FULL: Sizes = { alone: 1_000, callers: 4_000, bulk: 12_000, sleeping: 5_000, starts: 30, stops: 5, spinMs: 2_000 };
const QUICK: Sizes = { alone: 300, callers: 1_500, bulk: 3_000, sleeping: 2_000, starts: 12, stops: 3, spinMs: 1_000 };
const MINUTE_MS = 60_000;

/** Parses the command line; null for `--help`. @throws Error that says what was expected */
export function parseOptions(args: readonly string[]): Options | null {
  const { values } = parseArgs({
    args: [...args],
    options: {
      quick: { type: 'boolean', default: false },
      only: { type: 'string' },
      jobs: { type: 'string' },
      rounds: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) return null;
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 7));
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds: expected a whole number from 1, got "${values.rounds}"`);
  return {
    peers: listed('--only', values.only, PEERS),
    jobs: listed('--jobs', values.jobs, JOBS),
    rounds,
    sizes: values.quick ? QUICK : FULL,
    budgetMs: values.quick ? 1.4 * MINUTE_MS : 7.5 * MINUTE_MS,
    write: values.write || !(values.quick || values.only !== undefined || values.jobs !== undefined),
  };
}

function listed<Name extends string>(option: string, text: string | undefined, names: readonly Name[]): readonly Name[] {
  if (text === undefined) return names;
  const chosen = text.split(',').map((name) => name.trim());
  const unknown = chosen.find((name) => !(names as readonly string[]).includes(name));
  if (unknown !== undefined) throw new Error(`${option}: expected ${names.join(', ')}; got "${unknown}"`);
  return names.filter((name) => chosen.includes(name));
}
