/** What the runner reports about a test, a suite, a file's process. */
export interface TestResult {
  readonly name: string;
  readonly file?: string | undefined;
  /** Depth: 0 for what stands directly in a file. Children are reported before the parent. */
  readonly nesting: number;
  readonly skip?: string | boolean | undefined;
  readonly todo?: string | boolean | undefined;
  readonly details: { readonly type?: string | undefined; readonly error?: unknown };
}

/**
 * Counts the tests that have no tests inside. What has some counts only if it failed for a reason of its own, such as a
 * hook; and a file's process only if it failed, such as on import. Skipped tests and todos do not count.
 */
export class LeafCount {
  passed = 0;
  failed = 0;
  /** For each file: at which depths something was reported since the last parent. */
  readonly #reported = new Map<string, boolean[]>();

  add(result: TestResult, passed: boolean): void {
    const isParent = this.#hasChildren(result) || result.details.type === 'suite' || result.name === result.file;
    if (isSet(result.skip) || isSet(result.todo)) return;
    if (!passed && !isOnlyAboutChildren(result.details.error)) this.failed += 1;
    else if (passed && !isParent) this.passed += 1;
  }

  #hasChildren({ file = '', nesting }: TestResult): boolean {
    const depths = this.#reported.get(file) ?? [];
    this.#reported.set(file, depths);
    const has = depths[nesting + 1] ?? false;
    depths[nesting] = true;
    depths[nesting + 1] = false;
    return has;
  }
}

/** `{ skip: '' }` would be no reason, but a skip all the same. */
function isSet(mark: string | boolean | undefined): boolean {
  return mark !== undefined && mark !== false;
}

function isOnlyAboutChildren(error: unknown): boolean {
  return error instanceof Error && 'failureType' in error && error.failureType === 'subtestsFailed';
}
