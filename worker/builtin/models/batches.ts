/** Most fields, and characters of JSON, in one write: few enough that Redis finishes it in a few ms. */
export const BATCH_FIELDS = 500;
const BATCH_LENGTH = 1_048_576;

/** Yields the arguments of consecutive HSETs: alternating fields and values. */
export function* batchesOf(set: ReadonlyMap<string, string>): Generator<string[], void, void> {
  let batch: string[] = [];
  let length = 0;
  for (const [id, json] of set) {
    if (batch.length === 2 * BATCH_FIELDS || (batch.length > 0 && length + json.length > BATCH_LENGTH)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(id, json);
    length += json.length;
  }
  if (batch.length > 0) yield batch;
}
