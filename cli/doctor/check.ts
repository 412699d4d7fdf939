/** What the doctor found out about one thing. */
export interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** What to do about it; null if nothing. */
  readonly advice: string | null;
}

export function ok(name: string, message: string): Check {
  return { name, level: 'ok', message, advice: null };
}

export function warn(name: string, message: string, advice: string): Check {
  return { name, level: 'warn', message, advice };
}

export function fail(name: string, message: string, advice: string): Check {
  return { name, level: 'fail', message, advice };
}
