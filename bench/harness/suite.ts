import type { Redis } from 'ioredis';
import type { TestRedis } from '../../test/support/redis/test-redis.js';

/** The comparison of two sides of a row. Only ratios are compared with a stored run: absolute figures depend on the machine. */
export interface Ratio {
  readonly of: string;
  readonly to: string;
  readonly better: 'higher' | 'lower';
}

/** One line of a table. */
export interface Row {
  /** What was measured, unique within its suite: `enqueue, 500 in flight`. It must not contain sizes that a flag changes. */
  readonly name: string;
  /** `jobs/s`, `ms`, `µs/job` …; empty if the name of each side says it. */
  readonly unit: string;
  /** The values of each side, one for each round; the table shows their median. Sides with equally many rounds are compared by round. */
  readonly sides: Readonly<Record<string, readonly number[]>>;
  readonly ratios?: readonly Ratio[];
}

/** The result of a suite. */
export interface Measured {
  readonly rows: readonly Row[];
  /** Sentences below the table. */
  readonly notes?: readonly string[];
}

/** What a suite works with. */
export interface Env<Size extends string = string> {
  /** A redis-server shared by the suites, empty at the start of each. */
  readonly redis: TestRedis;
  /** A connection to that server, for counters and FLUSHALL. */
  readonly client: Redis;
  readonly sizes: Readonly<Record<Size | 'rounds', number>>;
  /** Reports the current step on stderr. */
  readonly step: (text: string) => void;
}

/** A size of a suite, with a flag of the same name: suites that share a name share the flag. */
export interface SizeRange {
  readonly full: number;
  /** With `--quick`. */
  readonly quick: number;
}

export interface Suite<Size extends string = string> {
  /** The name for `--only`. */
  readonly name: string;
  /** The heading of its table: what is compared with what. */
  readonly about: string;
  /** Rounds after the warm-up are a size too. */
  readonly sizes: Readonly<Record<Size | 'rounds', SizeRange>>;
  /** Runs only with `--only`. Default: false. */
  readonly onDemand?: boolean;
  /** Makes parts of the documentation from a result. Default: its table. */
  publish?(result: SuiteResult): Published;
  /** Measures. @throws if what was measured went wrong, such as a lost task: the run then fails. */
  run(env: Env<Size>): Promise<Measured>;
}

/** The result of a suite, with the sizes that it ran with. */
export interface SuiteResult {
  readonly name: string;
  readonly about: string;
  readonly sizes: Readonly<Record<string, number>>;
  readonly rows: readonly Row[];
  readonly notes: readonly string[];
}

/** Parts of the documentation made from a result. */
export interface Published {
  /** Markdown, by the name in the markers of a page: `<!-- bench: scaling/sizing -->`. */
  readonly blocks: Readonly<Record<string, string>>;
  /** Whole files, by their path below the root. */
  readonly files: Readonly<Record<string, string>>;
}

/** Declares a suite, typing its sizes. */
export function defineSuite<const Size extends string>(suite: Suite<Size>): Suite {
  return suite;
}
