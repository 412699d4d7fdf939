import { setTimeout as delay } from 'node:timers/promises';
import type { TestRedis } from '../../test/support/redis/test-redis.js';
import type { Suite, SuiteResult } from './suite.js';
import { textTables } from './table.js';

/** A suite to run, and its sizes. */
export interface PlannedSuite {
  readonly suite: Suite;
  readonly sizes: SuiteResult['sizes'];
}

/** Where a run reports to. */
export interface Output {
  /** Tables, on stdout. */
  print(text: string): void;
  /** Progress, on stderr. */
  progress(text: string): void;
}

/** The results of a run: failed suites are named only. */
export interface RunResult {
  readonly suites: readonly SuiteResult[];
  readonly failed: readonly string[];
}

/** No suite takes as long on a quiet machine. */
const SUITE_LIMIT_MS = 600_000;

/** A suite that hangs: it ends the run, since the next suites would be measured beside it. */
export class SuiteTimeout extends Error {
  override readonly name = 'SuiteTimeout';
}

/**
 * Runs the suites one after the other, each on an empty Redis, and prints the table of each. A failed suite does not end the run.
 * @throws SuiteTimeout if a suite does not end
 */
export async function runSuites(planned: readonly PlannedSuite[], redis: TestRedis, output: Output): Promise<RunResult> {
  const client = redis.client();
  const suites: SuiteResult[] = [];
  const failed: string[] = [];
  for (const [index, { suite, sizes }] of planned.entries()) {
    const { name, about } = suite;
    const startedAt = performance.now();
    const seconds = (): string => `${((performance.now() - startedAt) / 1_000).toFixed(0)} s`;
    const step = (text: string): void => output.progress(`[${index + 1}/${planned.length}] ${name}: ${text}`);
    step('starts');
    try {
      await client.flushall();
      const run = suite.run({ redis, client, sizes, step });
      const { rows, notes = [] } = await withinLimit(run, name);
      suites.push({ name, about, sizes, rows, notes });
      output.print(suiteText({ name, about, sizes, rows, notes }));
      step(`took ${seconds()}`);
    } catch (error) {
      if (error instanceof SuiteTimeout) throw error;
      failed.push(name);
      output.print(`\n## ${name} failed after ${seconds()}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    }
  }
  return { suites, failed };
}

async function withinLimit<Result>(run: Promise<Result>, name: string): Promise<Result> {
  const timer = new AbortController();
  const limit = delay(SUITE_LIMIT_MS, undefined, { signal: timer.signal }).then(() => {
    throw new SuiteTimeout(`Suite ${name} did not end within ${SUITE_LIMIT_MS / 1_000} s`);
  });
  try {
    return await Promise.race([run, limit]);
  } finally {
    limit.catch(() => undefined);
    timer.abort();
  }
}

/** Formats the result of a suite: its heading, tables and notes. */
export function suiteText({ name, about, sizes, rows, notes }: SuiteResult): string {
  const sized = Object.entries(sizes).map(([size, value]) => `${size} ${value.toLocaleString('en-US')}`);
  return [`\n## ${name} (${sized.join(', ')})`, `${about}\n`, textTables(rows), ...notes].join('\n');
}
