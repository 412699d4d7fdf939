/** The result of one check. */
export interface Check {
  readonly name: string;
  readonly level: 'ok' | 'warn' | 'fail';
  readonly message: string;
  /** The suggested fix; null if none is needed. */
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
