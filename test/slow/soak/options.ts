import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

export const TOPOLOGIES = ['standalone', 'sentinel', 'cluster'] as const;
export type Topology = (typeof TOPOLOGIES)[number];

export interface SoakOptions {
  /** The length of the load, without the audit after it. */
  readonly minutes: number;
  /** 0 to 4,294,967,295. The same seed gives the same plan. */
  readonly seed: number;
  readonly topology: Topology;
  /** The folder for `soak.svg` and `soak.json`; created if missing. */
  readonly out: string;
  readonly faults: boolean;
}

/** Invalid arguments: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

const MAX_MINUTES = 24 * 60;
const SEEDS = 2 ** 32;

export const USAGE = `npm run soak -- [--minutes 20] [--seed N] [--topology standalone|sentinel|cluster] [--out folder] [--no-faults]

Enqueues, processes and stops tasks on real worker processes and a real Redis, while a plan made from the seed kills,
ends, freezes and restarts workers and Redis and cuts and pauses connections. Ends in an audit of every task, and checks
that memory, connections and keys have not grown.

  --minutes N    how long the load lasts: more than 0, at most ${MAX_MINUTES}; default 20
  --seed N       a whole number from 0 to ${SEEDS - 1}; default: a random one, which is printed
  --topology T   ${TOPOLOGIES.join(', ')}; default standalone
  --out FOLDER   where soak.svg and soak.json go; default: taskfleet-soak in the system's temporary folder
  --no-faults    only the load

Exit code: 0 if the audit is clean and nothing grew, 1 if not, 2 for bad arguments. Ctrl+C ends the load early; what was
done is audited, and the exit code says the same.`;

/** Reads the arguments. Returns null for --help. @throws UsageError that names the argument, what was expected and what was given */
export function parseOptions(args: readonly string[], randomSeed: () => number = newSeed): SoakOptions | null {
  const { help, minutes, seed, topology, out, 'no-faults': calm } = read(args);
  if (help) return null;
  return {
    minutes:
      number('--minutes', minutes, `a number of minutes above 0 and up to ${MAX_MINUTES}`, (value) => value > 0 && value <= MAX_MINUTES) ??
      20,
    seed:
      number('--seed', seed, `a whole number from 0 to ${SEEDS - 1}`, (value) => Number.isInteger(value) && value >= 0 && value < SEEDS) ??
      randomSeed(),
    topology: topologyOf(topology),
    out: out === undefined ? join(tmpdir(), 'taskfleet-soak') : folderOf(out),
    faults: !calm,
  };
}

type Given = { [Name in 'minutes' | 'seed' | 'topology' | 'out']?: string | undefined } & { help: boolean; 'no-faults': boolean };

function read(args: readonly string[]): Given {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({ args: [...args], options: { minutes: text, seed: text, topology: text, out: text, 'no-faults': flag, help: flag } })
      .values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function number(name: string, given: string | undefined, expected: string, isGood: (value: number) => boolean): number | null {
  if (given === undefined) return null;
  const value = given.trim() === '' ? Number.NaN : Number(given);
  if (!isGood(value)) throw new UsageError(`${name}: expected ${expected}, got ${JSON.stringify(given)}`);
  return value;
}

function topologyOf(given: string | undefined): Topology {
  const found = TOPOLOGIES.find((one) => one === (given ?? 'standalone'));
  if (found === undefined) throw new UsageError(`--topology: expected one of ${TOPOLOGIES.join(', ')}, got ${JSON.stringify(given)}`);
  return found;
}

function folderOf(given: string): string {
  if (given === '') throw new UsageError('--out: expected a folder, got ""');
  return given;
}

function newSeed(): number {
  return Math.floor(Math.random() * SEEDS);
}
