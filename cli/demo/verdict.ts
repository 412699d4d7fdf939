import { formatMs } from '../../shared/duration.js';
import type { ChatCompletionOutput, DocumentIndexOutput, FleetCanaryOutput } from '../../shared/task/builtin/index.js';
import type { StopReceipt } from '../../shared/stop/receipt.js';
import { STOPPED_CHAT } from './batch.js';
import { type Cell, type Paint, STATE_STYLE, countWords, formatLine, formatTime } from './columns.js';
import { type TaskRow, workerName } from './task-row.js';

const WIDTHS = [2, 19, 16, 12, 10, 8] as const;

/** The table at the end: what became of each task, and the receipt of each stop. */
export function tableOf(rows: readonly TaskRow[], paint: Paint): string[] {
  const line = (texts: readonly string[], style: (column: number) => Pick<Cell, 'style'>): string =>
    formatLine(
      ['', ...texts].map((text, at) => ({ text, ...style(at), ...(WIDTHS[at] !== undefined && { width: WIDTHS[at] }) })),
      paint,
    );
  const head = line(['TASK', 'ITEM', 'WORKER', 'STATE', 'TIME', 'RESULT OR RECEIPT'], () => ({ style: 'bold' }));
  const body = rows.map((row) => {
    const { task, state, view, receipt } = row;
    const last = receipt ? receiptText(receipt) : resultText(row);
    const texts = [task.id, task.item, workerName(view), state, formatTime(row.durationMs(Date.now())), last];
    return line(texts, (column) => (column === 4 ? { style: STATE_STYLE[state] } : column === 2 || column === 3 ? { style: 'dim' } : {}));
  });
  return [head, ...body];
}

/** The last line: how many ended how, and how fast the stops were. */
export function summaryOf(rows: readonly TaskRow[], elapsedMs: number): string {
  const latencies = rows.flatMap(({ receipt }) => receipt?.latencyMs ?? []).sort((a, b) => a - b);
  const range = latencies.length > 0 ? ` Stops settled in ${formatMs(latencies[0] ?? 0)} to ${formatMs(latencies.at(-1) ?? 0)}.` : '';
  return `${rows.length} tasks in ${formatMs(elapsedMs)}: ${countWords(rows.map(({ state }) => state))}.${range}`;
}

/** What did not end as it should; empty if all is well. `registered` is what the registry still has. */
export function problemsOf(rows: readonly TaskRow[], registered: number): string[] {
  const problems = rows.flatMap(({ task, state, receipt, view }) => {
    if (state !== task.expected) return [`${task.id}: expected ${task.expected}, is ${state}${view?.error ? ` (${view.error})` : ''}`];
    if (state !== 'cancelled') return [];
    if (receipt?.outcome !== 'cancelled')
      return [`${task.id}: expected a receipt that says cancelled, it says ${receipt?.outcome ?? 'nothing'}`];
    if (task.id === STOPPED_CHAT && receipt.via !== 'signal')
      return [`${task.id}: expected to be stopped by its signal, was by ${receipt.via}`];
    return [];
  });
  return registered === 0 ? problems : [...problems, `expected an empty registry, it has ${registered} entries`];
}

function receiptText({ outcome, via, latencyMs }: StopReceipt): string {
  return `${outcome}${via ? ` via ${via}` : ''}${latencyMs === null ? '' : ` in ${formatMs(latencyMs)}`}`;
}

function resultText({ task, state, view }: TaskRow): string {
  if (state !== 'completed' || !view) return view?.error ?? '';
  const count = (value: number, noun: string): string => `${value.toLocaleString('en')} ${noun}${value === 1 ? '' : 's'}`;
  switch (task.definition.name) {
    case 'chat.completion':
      return count((view.result as ChatCompletionOutput).chunks, 'word');
    case 'document.index': {
      const { documents, terms } = view.result as DocumentIndexOutput;
      return `${count(documents, 'document')}, ${count(terms, 'term')}`;
    }
    case 'fleet.canary':
      return `ran ${formatMs((view.result as FleetCanaryOutput).ran_ms)}`;
    default:
      return '';
  }
}
