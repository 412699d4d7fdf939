/** Cuts a list into parts of at most `size`, in order. Redis commands take their arguments by spreading, which has a limit. */
export function chunks<Value>(list: readonly Value[], size: number): Value[][] {
  const parts: Value[][] = [];
  for (let from = 0; from < list.length; from += size) parts.push(list.slice(from, from + size));
  return parts;
}
