import { FleetError, messageOf } from '../shared/errors.js';
import { bytesBeyond } from '../shared/limits.js';
import { toJson } from './task-output.js';

/**
 * A handler's result as JSON. What JSON leaves out (undefined, a function, a symbol) is null.
 * @throws FleetError `INVALID_OUTPUT` for what JSON cannot hold, a circle or a BigInt; `RESULT_TOO_LARGE`
 */
export function resultJson(name: string, result: unknown, maxBytes: number): string {
  const json = stringified(name, result, maxBytes);
  const bytes = bytesBeyond(json, maxBytes);
  if (bytes !== null) throw tooLarge(name, `is ${bytes} bytes of JSON`, maxBytes, bytes);
  return json;
}

function stringified(name: string, result: unknown, maxBytes: number): string {
  try {
    return toJson(result);
  } catch (error) {
    // V8 makes no text of more than half a gigabyte.
    if (error instanceof RangeError && error.message === 'Invalid string length')
      throw tooLarge(name, 'is too long for a text of JSON', maxBytes, null);
    throw new FleetError('INVALID_OUTPUT', `Bad output of ${name}: not JSON (${messageOf(error)})`, { cause: error });
  }
}

function tooLarge(name: string, what: string, limit: number, bytes: number | null): FleetError {
  const advice = 'Store the content elsewhere and return a reference, emit it in chunks, or raise MAX_RESULT_BYTES.';
  return new FleetError('RESULT_TOO_LARGE', `The result of ${name} ${what}; at most ${limit} bytes are allowed. ${advice}`, {
    details: { task: name, bytes, limit },
  });
}
