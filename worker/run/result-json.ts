import { FleetError, messageOf } from '../../shared/errors.js';
import { bytesBeyond } from '../../shared/limits.js';
import { toJson } from './output.js';

/**
 * Returns a handler's result as JSON. Values that JSON omits (undefined, a function, a symbol) become null.
 * @throws FleetError `INVALID_OUTPUT` if JSON cannot represent the result (a cycle, a BigInt); `RESULT_TOO_LARGE`
 */
export function resultJson(name: string, result: unknown, maxBytes: number): string {
  const json = stringified(name, result, maxBytes);
  const bytes = bytesBeyond(json, maxBytes);
  if (bytes !== null) throw resultTooLarge(name, `is ${bytes} bytes of JSON`, maxBytes, bytes);
  return json;
}

function stringified(name: string, result: unknown, maxBytes: number): string {
  try {
    return toJson(result);
  } catch (error) {
    // V8 limits strings to half a gigabyte.
    if (error instanceof RangeError && error.message === 'Invalid string length')
      throw resultTooLarge(name, 'is too long to serialize', maxBytes, null);
    throw new FleetError('INVALID_OUTPUT', `Bad output of ${name}: not JSON (${messageOf(error)})`, { cause: error });
  }
}

function resultTooLarge(name: string, what: string, limit: number, bytes: number | null): FleetError {
  const advice = 'Store the content elsewhere and return a reference, emit it in chunks, or raise MAX_RESULT_BYTES.';
  return new FleetError('RESULT_TOO_LARGE', `The result of ${name} ${what}; at most ${limit} bytes are allowed. ${advice}`, {
    details: { task: name, bytes, limit },
  });
}
