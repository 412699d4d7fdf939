/**
 * What `read` has said, read once for all that ask at once, and for the ms after it was said. A probe of many, or of somebody who wants to
 * do harm, then costs Redis what one costs.
 */
export function cached<Value>(ms: number, read: () => Promise<Value>): () => Promise<Value> {
  let saidAt = -Infinity;
  let said: Promise<Value> | null = null;
  return () => {
    if (said !== null && performance.now() - saidAt < ms) return said;
    // While it is being read, nobody reads it again.
    saidAt = Infinity;
    said = read().finally(() => {
      saidAt = performance.now();
    });
    return said;
  };
}
