/** A mistake in the arguments or in a given file: exit code 2, and the message alone is printed. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}
