/**
 * Wraps `read` so that concurrent calls share one read, and its result is reused for the given ms. A flood of requests then costs Redis
 * one read per interval.
 */
export function cached<Value>(ms: number, read: () => Promise<Value>): () => Promise<Value> {
  let readAt = -Infinity;
  let result: Promise<Value> | null = null;
  return () => {
    if (result !== null && performance.now() - readAt < ms) return result;
    // Callers share the pending read.
    readAt = Infinity;
    result = read().finally(() => {
      readAt = performance.now();
    });
    return result;
  };
}
