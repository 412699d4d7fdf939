/** Fields of one write, and characters of JSON in it: few enough for Redis to be done with it in a few ms. */
export const BATCH_FIELDS = 500;
const BATCH_LENGTH = 1_048_576;

/** The fields and values of a hash for one HSET after the other: names and values by turns. */
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
