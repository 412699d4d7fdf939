/** Splits a list into chunks of at most `size`, in order: JavaScript limits the number of arguments that a Redis command can spread. */
export function chunks<Value>(list: readonly Value[], size: number): Value[][] {
  const parts: Value[][] = [];
  for (let from = 0; from < list.length; from += size) parts.push(list.slice(from, from + size));
  return parts;
}
