/**
 * The bounds on what is kept of a task or sent about it. The sizes of inputs and results are settings: `MAX_INPUT_BYTES`,
 * `MAX_RESULT_BYTES`. docs/operations.md has the table for operators.
 */

/** Bytes of the error message that is kept of an attempt. */
export const MAX_ERROR_BYTES = 16_384;
/** Characters of a stack that are kept of an attempt. */
export const MAX_STACK_LENGTH = 8_192;
/** Bytes of one progress value, as JSON. */
export const MAX_PROGRESS_BYTES = 65_536;
/** Bytes of one chunk, as JSON. A longer text is emitted as several chunks. */
export const MAX_CHUNK_BYTES = 262_144;
/** About how many bytes of a task's stream are kept. */
export const MAX_STREAM_BYTES = 67_108_864;
/** Characters of a stop's reason, and of the name of who asked for it. */
export const MAX_REASON_LENGTH = 500;
/** Characters of a task's name that are shown. Names of ours are shorter; plain BullMQ clients write what they like. */
export const MAX_NAME_LENGTH = 256;

/** Of each task in a list; a look at the task itself shows the whole. */
export const LISTED = {
  /** Characters of its error. */
  errorLength: 1_024,
  /** Bytes of its progress; a longer one is null. */
  progressBytes: 4_096,
} as const;

const MARK = '…';

/** A text of at most `most` characters; a mark stands for the rest. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - MARK.length)}${MARK}`.toWellFormed() : text;
}

/** How many bytes a text takes, if these are more than `most`; null if they are not. */
export function bytesBeyond(text: string, most: number): number | null {
  // A UTF-16 unit takes at most three bytes, so most texts need not be measured.
  if (text.length * 3 <= most) return null;
  const bytes = Buffer.byteLength(text);
  return bytes > most ? bytes : null;
}

/** A text of at most `most` bytes; what was cut off is told at its end. */
export function cutToBytes(text: string, most: number): string {
  const bytes = bytesBeyond(text, most);
  if (bytes === null) return text;
  const mark = ` ${MARK} (cut: ${bytes} bytes)`;
  // Half a character at the cut becomes U+FFFD.
  const kept = Buffer.from(text)
    .subarray(0, most - Buffer.byteLength(mark))
    .toString()
    .replace(/\uFFFD$/, '');
  return kept + mark;
}
