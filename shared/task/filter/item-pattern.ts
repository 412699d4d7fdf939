/** Returns whether an item matches a pattern, where each `*` stands for any text. */
export function matchesPattern(pattern: string, item: string): boolean {
  const [first = '', ...rest] = pattern.split('*');
  if (rest.length === 0) return pattern === item;
  const last = rest.pop() as string;
  if (item.length < first.length + last.length || !item.startsWith(first) || !item.endsWith(last)) return false;
  let at = first.length;
  for (const part of rest) {
    const found = item.indexOf(part, at);
    if (found === -1 || found + part.length > item.length - last.length) return false;
    at = found + part.length;
  }
  return true;
}

/** Returns whether a caller with these patterns may see tasks of an item, null for none. Without patterns, a caller sees all tasks. */
export function isVisibleItem(patterns: readonly string[] | null, item: string | null): boolean {
  return patterns === null || (item !== null && patterns.some((pattern) => matchesPattern(pattern, item)));
}
