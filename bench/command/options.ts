import { parseArgs } from 'node:util';
import { didYouMean } from '../../shared/similar.js';
import type { PlannedSuite } from '../harness/run.js';
import type { Suite } from '../harness/suite.js';
import type { StoredRun } from './stored-run.js';
import { UsageError } from './usage-error.js';

/** The arguments of `npm run bench`. */
export interface BenchOptions {
  readonly only: readonly string[];
  readonly quick: boolean;
  readonly help: boolean;
  readonly list: boolean;
  /** Where to store the run; null for nowhere. */
  readonly json: string | null;
  /** The stored run to compare with; null for none. */
  readonly check: string | null;
  /** The stored run to show instead of measuring; null for none. */
  readonly from: string | null;
  /** Write the results into the documentation. */
  readonly docs: boolean;
  /** Sizes given by flags. */
  readonly sizes: ReadonlyMap<string, number>;
}

/** Parses the arguments. @throws UsageError for an unknown flag or a bad number */
export function parseOptions(args: readonly string[], suites: readonly Suite[]): BenchOptions {
  const flags = sizeFlags(suites);
  const values = parse(args, flags);
  const text = (name: string): string | null => (typeof values[name] === 'string' ? values[name] : null);
  return {
    only: (text('only') ?? '').split(',').filter((name) => name !== ''),
    quick: values['quick'] === true,
    help: values['help'] === true,
    list: values['list'] === true,
    json: text('json'),
    check: text('check'),
    from: text('from'),
    docs: values['docs'] === true,
    sizes: new Map(flags.flatMap((flag) => (text(flag) === null ? [] : [[flag, countOf(flag, text(flag) as string)] as const]))),
  };
}

function parse(args: readonly string[], flags: readonly string[]): Record<string, string | boolean | undefined> {
  const flag = { type: 'boolean' } as const;
  const value = { type: 'string' } as const;
  const options = { only: value, json: value, check: value, from: value, docs: flag, quick: flag, list: flag, help: flag };
  try {
    return parseArgs({ args: [...args], options: { ...options, ...Object.fromEntries(flags.map((name) => [name, value])) } }).values;
  } catch (error) {
    const { message } = error as Error;
    throw new UsageError(`${message.split('. ')[0]}. See npm run bench -- --help`);
  }
}

function countOf(flag: string, text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new UsageError(`Bad --${flag}: expected a whole number from 1, got "${text}"`);
  return Number(text);
}

/** Chooses the suites and their sizes: flags first, then those of the stored run. @throws UsageError for unknown suites */
export function planRun({ only, quick, sizes: given }: BenchOptions, suites: readonly Suite[], base: StoredRun | null): PlannedSuite[] {
  const names = suites.map(({ name }) => name);
  for (const name of only)
    if (!names.includes(name)) throw new UsageError(`Unknown suite "${name}".${didYouMean(name, names)} Suites: ${names.join(', ')}`);
  const stored = new Map(base?.suites.map(({ name, sizes }) => [name, sizes]));
  if (base) requireSuites(base, names, only);
  const chosen = suites.filter(({ name, onDemand = false }) => {
    if (only.length > 0) return only.includes(name);
    return base ? stored.has(name) : !onDemand;
  });
  return chosen.map((suite) => {
    const sizes = Object.entries(suite.sizes).map(([name, { full, quick: few }]) => {
      const size = given.get(name) ?? stored.get(suite.name)?.[name] ?? (quick ? few : full);
      return [name, size];
    });
    return { suite, sizes: Object.fromEntries(sizes) as Record<string, number> };
  });
}

function requireSuites(base: StoredRun, names: readonly string[], only: readonly string[]): void {
  const stored = base.suites.map(({ name }) => name);
  const unknown = stored.filter((name) => !names.includes(name));
  if (unknown.length > 0) throw new UsageError(`The stored run has suites that no longer exist: ${unknown.join(', ')}. Store a new one`);
  const missing = only.filter((name) => !stored.includes(name));
  if (missing.length > 0) throw new UsageError(`The stored run has no suite ${missing.join(', ')}, only ${stored.join(', ')}`);
}

/** Returns the names of all sizes: `--rounds`, `--tasks` … */
function sizeFlags(suites: readonly Suite[]): string[] {
  return [...new Set(suites.flatMap(({ sizes }) => Object.keys(sizes)))];
}

export function helpText(suites: readonly Suite[]): string {
  const sizes = sizeFlags(suites).map((flag) => {
    const users = suites.filter((suite) => flag in suite.sizes);
    return `  --${flag} N`.padEnd(22) + users.map(({ name, sizes: { [flag]: size } }) => `${name} ${size?.full}`).join(', ');
  });
  return `Usage: npm run bench [-- OPTIONS]

Measures the fleet beside bare BullMQ and bare Redis on a redis-server of its own. Machines differ: read the ratios.

  --only a,b          run these suites only
  --list              list the suites
  --quick             small sizes, for trials
  --json FILE         store the run; waits up to three minutes for a quiet machine first, as does --docs
  --check FILE        run the suites of a stored run at its sizes, and fail if a ratio is more than 10 % worse
  --docs              write the tables and plots into the pages of docs/ that have markers for them
  --from FILE         print a stored run instead of measuring; with --docs, write it into the pages
  --help              show this help

Sizes, with the default of each suite:
${sizes.join('\n')}
`;
}

export function listText(suites: readonly Suite[]): string {
  const width = Math.max(...suites.map(({ name }) => name.length)) + 2;
  return suites.map(({ name, about, onDemand }) => `${name.padEnd(width)}${about}${onDemand ? ' (only with --only)' : ''}\n`).join('');
}
