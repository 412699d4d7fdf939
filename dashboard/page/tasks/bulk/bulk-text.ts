import { type Bulk, isTerminal } from '../../parts/api-types.js';
import { count } from '../../parts/wording.js';

const NAMES: Readonly<Record<string, string>> = {
  ...{ requested: 'stop requested', finished: 'had finished', not_found: 'gone', not_retryable: 'not retryable' },
};

/** Returns the outcome of a task of a bulk in words. */
export function outcomeText(outcome: string): string {
  return NAMES[outcome] ?? outcome;
}

/** Describes a bulk: `Stopping 1,200 of 5,000 tasks: 1,150 cancelled, 50 stop requested`. */
export function bulkText({ action, state, total, matched, done, outcomes, error }: Bulk): string {
  const parts = Object.entries(outcomes).flatMap(([outcome, number]) =>
    number === 0 ? [] : [`${number.toLocaleString('en')} ${outcomeText(outcome)}`],
  );
  const listed = parts.length === 0 ? '' : `: ${parts.join(', ')}`;
  if (state === 'completed') return `${action === 'stop' ? 'Stopped' : 'Retried'} ${count(matched, 'task')}${listed}.`;
  if (isTerminal(state))
    return `${action === 'stop' ? 'The stop' : 'The retry'} was ${state} after ${count(done, 'task')}${listed}.${error === null ? '' : ` ${error}`}`;
  const of = total === null ? '' : ` of ${total.toLocaleString('en')}`;
  return `${action === 'stop' ? 'Stopping' : 'Retrying'} ${done.toLocaleString('en')}${of} tasks${listed}`;
}
