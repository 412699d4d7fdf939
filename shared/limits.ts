/**
 * The bounds on what is kept of a task or sent about it. The size of inputs and results is a setting: `MAX_INPUT_BYTES`,
 * `MAX_RESULT_BYTES`. docs/operations.md has the table for operators.
 */

/** Bytes of an error message that are kept of a failed attempt. */
export const MAX_ERROR_BYTES = 16_384;
/** Bytes of one progress value, as JSON. */
export const MAX_PROGRESS_BYTES = 65_536;
/** Bytes of one chunk, as JSON. */
export const MAX_CHUNK_BYTES = 262_144;
/** Characters of a name, an item or an id that lists show. What plain BullMQ clients write has no bound. */
export const MAX_SHOWN_NAME = 256;

const MARK = '…';

/** A text of at most `most` characters; a mark stands for the rest. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - 1)}${MARK}`.toWellFormed() : text;
}
