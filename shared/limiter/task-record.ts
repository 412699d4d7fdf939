/** Returns what is wrong with the record of a task with limits, as the limiter's scripts read it; null if it is readable. */
export function problemOfRecord(text: string): string | null {
  const record = parse(text);
  if (record === null) return 'expected a JSON object';
  for (const name of ['queue', 'name'])
    if (typeof record[name] !== 'string') return `${name}: expected a string, got ${typeof record[name]}`;
  for (const name of ['seq', 'priority', 'step'])
    if (typeof record[name] !== 'number') return `${name}: expected a number, got ${typeof record[name]}`;
  const { steps } = record;
  return Array.isArray(steps) && steps.length > 0 ? null : 'steps: expected a list of limits';
}

function parse(text: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
