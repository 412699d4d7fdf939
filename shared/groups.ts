/** Groups values by key, in their order. */
export function groupBy<Value>(values: Iterable<Value>, keyOf: (value: Value) => string): Map<string, Value[]> {
  const groups = new Map<string, Value[]>();
  for (const value of values) append(groups, keyOf(value), value);
  return groups;
}

/** Adds values to the list of a key. */
export function append<Value>(lists: Map<string, Value[]>, key: string, ...values: Value[]): void {
  const list = lists.get(key);
  if (list) list.push(...values);
  else lists.set(key, values);
}
