import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { helpText, listText, parseOptions, planRun } from '../../../bench/command/options.js';
import type { StoredRun } from '../../../bench/command/stored-run.js';
import { defineSuite } from '../../../bench/harness/suite.js';

const run = (): Promise<never> => Promise.reject(new Error('not run here'));
const SUITES = [
  defineSuite({ name: 'throughput', about: 'tasks', sizes: { rounds: { full: 7, quick: 3 }, tasks: { full: 20_000, quick: 5_000 } }, run }),
  defineSuite({ name: 'memory', about: 'bytes', sizes: { rounds: { full: 1, quick: 1 }, live: { full: 100, quick: 10 } }, run }),
  defineSuite({ name: 'scaling', about: 'processes', onDemand: true, sizes: { rounds: { full: 2, quick: 1 } }, run }),
];

function plan(args: readonly string[], base: StoredRun | null = null): [name: string, sizes: object][] {
  return planRun(parseOptions(args, SUITES), SUITES, base).map(({ suite, sizes }) => [suite.name, sizes]);
}

function storedRun(...suites: (readonly [name: string, sizes: Record<string, number>])[]): StoredRun {
  return { suites: suites.map(([name, sizes]) => ({ name, about: '', sizes, rows: [], notes: [] })) } as unknown as StoredRun;
}

describe('The arguments of the benchmarks', () => {
  it('choose suites and sizes', () => {
    assert.deepEqual(plan([]), [
      ['throughput', { rounds: 7, tasks: 20_000 }],
      ['memory', { rounds: 1, live: 100 }],
    ]);
    assert.deepEqual(plan(['--only', 'scaling,memory', '--quick']), [
      ['memory', { rounds: 1, live: 10 }],
      ['scaling', { rounds: 1 }],
    ]);
    assert.deepEqual(plan(['--only', 'throughput', '--rounds', '2', '--quick']), [['throughput', { rounds: 2, tasks: 5_000 }]]);
  });

  it('run the suites of a stored run at its sizes, unless flags say otherwise', () => {
    const base = storedRun(['scaling', { rounds: 5 }], ['throughput', { rounds: 3, tasks: 7, former: 1 }]);
    assert.deepEqual(plan(['--check', 'base.json', '--quick'], base), [
      ['throughput', { rounds: 3, tasks: 7 }],
      ['scaling', { rounds: 5 }],
    ]);
    assert.deepEqual(plan(['--check', 'base.json', '--only', 'throughput', '--tasks', '9'], base), [
      ['throughput', { rounds: 3, tasks: 9 }],
    ]);
  });

  for (const [args, message, base] of [
    [['--only', 'troughput'], /^Unknown suite "troughput"\. Did you mean "throughput"\? Suites: throughput, memory, scaling$/],
    [['--task', '5'], /Unknown option '--task'.*--help/],
    [['throughput'], /Unexpected argument 'throughput'.*--help/],
    [['--rounds', '0'], /^Bad --rounds: expected a whole number from 1, got "0"$/],
    [['--tasks', '1e3'], /^Bad --tasks: .* got "1e3"$/],
    [['--check', 'base.json', '--only', 'memory'], /has no suite memory, only throughput$/, storedRun(['throughput', {}])],
    [['--check', 'base.json'], /suites that no longer exist: speed\. Store a new one$/, storedRun(['speed', {}])],
  ] as [string[], RegExp, StoredRun?][]) {
    it(`are refused: ${args.join(' ')}`, () => {
      assert.throws(() => plan(args, base), { name: 'UsageError', message });
    });
  }

  it('are explained, with the sizes of each suite', () => {
    assert.match(helpText(SUITES), /^ {2}--rounds N +throughput 7, memory 1, scaling 2\n {2}--tasks N +throughput 20000$/m);
    assert.match(listText(SUITES), /^throughput {2}tasks\nmemory {6}bytes\nscaling {5}processes \(only with --only\)\n$/);
  });
});
