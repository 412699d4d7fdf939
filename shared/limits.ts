/**
 * Limits on a task's names and options, on the data kept of it, and on pages and commands. The limits of inputs and results are
 * settings: `MAX_INPUT_BYTES` and `MAX_RESULT_BYTES`. docs/guides/operations.md has the table for operators.
 */

/** Characters of a task's id. */
export const MAX_ID_LENGTH = 128;
/** Characters of the id of a job that a plain BullMQ client added. */
export const MAX_KNOWN_ID_LENGTH = 1_000;
/** Characters of an item. */
export const MAX_ITEM_LENGTH = 256;
/** Tags of a task. Each has the characters of an item. */
export const MAX_TAGS = 10;
/** Characters of a text in a filter. */
export const MAX_FILTER_LENGTH = 1_000;
/** BullMQ queues that share the tasks of one logical queue. */
export const MAX_SHARDS = 64;
/** Delay of a task, in ms: ten years. */
export const MAX_DELAY_MS = 10 * 365 * 24 * 3_600_000;
/** The last of BullMQ's priorities. */
export const MAX_PRIORITY = 2_097_151;
/** Rows of a page: of tasks, schedules or audit records. */
export const MAX_PAGE_SIZE = 1_000;
/** Tasks that a count counts unless told otherwise. */
export const MAX_COUNTED = 1_000_000;
/** How long a stop waits for tasks to end, in ms. */
export const MAX_STOP_WAIT_MS = 3_600_000;
/** Task ids in a stop command. */
export const MAX_COMMAND_IDS = 1_000;
/** Characters of a stop command; a stop of a thousand ids has up to about 130,000. */
export const MAX_COMMAND_LENGTH = 262_144;
/** Bytes kept of an attempt's error message. */
export const MAX_ERROR_BYTES = 16_384;
/** Characters kept of an attempt's stack trace. */
export const MAX_STACK_LENGTH = 8_192;
/** Bytes kept of what an attempt threw, as JSON: message, stack and causes. */
export const MAX_FAILURE_BYTES = 15_872;
/** Bytes of a progress value, as JSON. */
export const MAX_PROGRESS_BYTES = 65_536;
/** Bytes of a chunk, as JSON. A longer text is emitted as several chunks. */
export const MAX_CHUNK_BYTES = 262_144;
/** Approximate bytes kept of a task's stream. */
export const MAX_STREAM_BYTES = 67_108_864;
/** Characters of the context of a span; a longer one, perhaps with much baggage, does not travel with a task. */
export const MAX_CARRIER_LENGTH = 8_192;
/** Characters of a stop's reason, and of the requester's name. */
export const MAX_REASON_LENGTH = 500;
/** Characters shown of a task's name, which a plain BullMQ client may have made longer than ours. */
export const MAX_NAME_LENGTH = 256;

/** Children of a task that are listed, the newest ones. */
export const MAX_KEPT_CHILDREN = 100;
/** Bytes of a task's input, as JSON, that the API returns uncut. */
export const MAX_SHOWN_INPUT_BYTES = 65_536;

/** Bytes of a result, as JSON, in the text that describes a task; `-o json` prints all of it. */
export const MAX_PRINTED_BYTES = 4_096;
/** Limits for each task in a list; the view of a single task is complete. */
export const LISTED = {
  /** Characters of the error. */
  errorLength: 1_024,
  /** Bytes of the progress value; a longer one is shown as null. */
  progressBytes: 4_096,
} as const;

const MARK = '…';

/** Cuts a text to `most` characters, ending in `…`. */
export function shortened(text: string, most: number): string {
  return text.length > most ? `${text.slice(0, most - MARK.length)}${MARK}`.toWellFormed() : text;
}

/** Returns the size of a text in bytes if it exceeds `most`, else null. */
export function bytesBeyond(text: string, most: number): number | null {
  // A UTF-16 unit takes up to three bytes, so most texts need not be measured.
  if (text.length * 3 <= most) return null;
  const bytes = Buffer.byteLength(text);
  return bytes > most ? bytes : null;
}

/** Cuts a text to `most` bytes; the end then gives the original size. */
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

/** Splits a list into chunks of at most `size`, in order: JavaScript limits the number of arguments that a Redis command can spread. */
export function chunks<Value>(list: readonly Value[], size: number): Value[][] {
  const parts: Value[][] = [];
  for (let from = 0; from < list.length; from += size) parts.push(list.slice(from, from + size));
  return parts;
}
