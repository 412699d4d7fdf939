/** A report of the runner about a test, a suite or the process of a file. */
export interface TestResult {
  readonly name: string;
  readonly file?: string | undefined;
  /** Depth, 0 at the top level of a file. Children are reported before their parent. */
  readonly nesting: number;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined; readonly error?: unknown };
}

/**
 * Counts the tests without nested tests. A test with nested tests counts only if it failed for its own reason, such as a hook; the
 * process of a file counts only if it failed, such as on import. Skipped tests and todos do not count.
 */
export class LeafCount {
  passed = 0;
  /** The names of the failed tests. */
  readonly failures: string[] = [];
  /** The depths of reports since the last parent. */
  readonly #depths: boolean[] = [];

  get failed(): number {
    return this.failures.length;
  }

  add(result: TestResult, passed: boolean): void {
    const isParent = this.#hasChildren(result) || result.details.type === 'suite' || result.name === result.file;
    if (isSet(result.skip) || isSet(result.todo)) return;
    if (!passed && !isOnlyAboutChildren(result.details.error)) this.failures.push(result.name);
    else if (passed && !isParent) this.passed += 1;
  }

  #hasChildren({ nesting }: TestResult): boolean {
    const has = this.#depths[nesting + 1] ?? false;
    this.#depths[nesting] = true;
    this.#depths[nesting + 1] = false;
    return has;
  }
}

/** `{ skip: '' }` gives no reason, but is a skip. */
function isSet(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}

function isOnlyAboutChildren(error: unknown): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed';
}
