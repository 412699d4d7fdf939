import { LeafCount, type TestResult } from './leaf-count.js';

/**
 * Counts the tests of each test file, which is a suite at the top level of a process. The runner reports the tests of one process
 * after those of another (`test:pass` and `test:fail`, unlike `test:complete`, come in the order of declaration).
 */
export class FileCounts {
  readonly #byFile = new Map<string, LeafCount>();
  /** Processes, with the tests of a file that was running when its process ended too early. */
  readonly #outside: LeafCount[] = [];
  #current = new LeafCount();

  /** @param files paths, which are the names of their suites */
  constructor(readonly files: readonly string[]) {}

  add(result: TestResult, passed: boolean): void {
    this.#current.add(result, passed);
    if (result.nesting > 0) return;
    if (this.files.includes(result.name)) this.#byFile.set(result.name, this.#current);
    else this.#outside.push(this.#current);
    this.#current = new LeafCount();
  }

  /** The names of the failed tests of each file that has any. */
  get failures(): ReadonlyMap<string, readonly string[]> {
    return new Map([...this.#byFile].filter(([, { failed }]) => failed > 0).map(([file, { failures }]) => [file, failures]));
  }

  get failedOutsideFiles(): number {
    return sum(this.#outside, 'failed');
  }

  get passed(): number {
    return sum([...this.#outside, ...this.#byFile.values()], 'passed');
  }

  get failed(): number {
    return sum([...this.#outside, ...this.#byFile.values()], 'failed');
  }

  /** Puts the counts of a second run of all files that failed, or did not end, in the place of those of the first. */
  replaceBy(second: FileCounts): void {
    this.#outside.splice(0, Infinity, ...second.#outside);
    for (const [file, count] of second.#byFile) this.#byFile.set(file, count);
  }
}

function sum(counts: readonly LeafCount[], key: 'passed' | 'failed'): number {
  return counts.reduce((total, count) => total + count[key], 0);
}
