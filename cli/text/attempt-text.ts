import type { Attempt, Failure } from '../../producer/index.js';
import { formatMs } from '../../shared/time.js';
import { oneLine, printable } from './output.js';

/** Lines of a stack trace that are shown; `-o json` has the rest. */
const STACK_LINES = 12;

/** Formats a task's attempts as a timeline: each with its end, worker and error; the last stack trace in part. */
export function attemptLines(attempts: readonly Attempt[]): string[] {
  const last = attempts.findLast(({ error }) => error !== null && error.stack !== null);
  return attempts.flatMap((attempt) => {
    const error = attempt.error === null ? [] : failureLines(attempt.error, { stack: attempt === last });
    return [headOf(attempt), ...error.map((line) => `     ${line}`)];
  });
}

/** `#2 failed after 1.2 s on web-1-4711-0a1b2c3d, started 2026-01-01T00:00:00.000Z, next at 2026-01-01T00:00:08.000Z`. */
function headOf({ number, worker, startedAt, endedAt, outcome, retryAt }: Attempt): string {
  const lasted = startedAt && endedAt ? ` after ${formatMs(Math.max(0, endedAt.getTime() - startedAt.getTime()))}` : '';
  return oneLine(
    [
      `#${number} `,
      (outcome ?? 'running').replace('_', ' ') + lasted,
      worker === null ? '' : ` on ${worker.id}`,
      startedAt === null ? '' : `, started ${startedAt.toISOString()}`,
      retryAt === null ? '' : `, next at ${retryAt.toISOString()}`,
    ].join(''),
  );
}

function failureLines(
  { name, message, code, stack, cause, errors }: Failure,
  { stack: showsStack }: { readonly stack: boolean },
): string[] {
  const frames = stack?.split('\n').filter((line) => /^\s+at /.test(line)) ?? [];
  return [
    oneLine(`${name}${code === null ? '' : ` (${code})`}: ${message}`),
    ...(showsStack ? frames.slice(0, STACK_LINES).map((line) => `  ${printable(line.trim())}`) : []),
    ...errors.flatMap((member) => indented('- ', failureLines(member, { stack: false }))),
    ...(cause === null ? [] : indented('caused by ', failureLines(cause, { stack: false }))),
  ];
}

function indented(mark: string, [first = '', ...rest]: readonly string[]): string[] {
  return [`  ${mark}${first}`, ...rest.map((line) => `  ${line}`)];
}
