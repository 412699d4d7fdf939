import type { FaultRow } from './report.js';

const HEAD = `# Faults

Measured behaviour of the fleet under faults: \`npm run faults\` writes this page. Each row is a run of real worker processes on real
redis-servers under load, with 1,000 to 5,000 tasks and more during the fault, and default settings unless the row says otherwise:
short tasks, tasks that run until they are stopped, that ignore their signal, that are retried, that fail, that run in threads; 20
stops per second, of tasks and of items. Each run ends with the same audit:

- every acknowledged task ended once, as expected: completed, failed or cancelled; a task whose enqueue was rejected does not exist,
  or ended once too (\`REDIS_UNAVAILABLE\` and \`NOT_REPLICATED\` leave that open);
- queue events, receipts and waiting callers report the same outcome as the task;
- an acknowledged stop ended in \`cancelled\`, or the task had completed before the abort reached it;
- no handler started or continued after its stop was settled, except handlers out of reach: abandoned after their grace period, or
  frozen or cut off while another worker took over;
- nothing is left: no registry entry, no queued or active job, no lock.

Times are in ms after the fault. *Enqueue*, *task* and *stop* are the first of each that started after the fault and succeeded:
acknowledged, ended and settled. *Silence* is the longest time without an acknowledged enqueue. *Tail* is when the last task that
was running at the time of the fault had ended, except tasks that failed and were queued again. *Ran again* counts handler calls
beyond the attempts of the definition: a task runs at least once. *Lost*, *two outcomes* and *stops lost* count tasks.
`;

const COLUMNS: readonly (readonly [title: string, cell: (row: FaultRow) => string | number])[] = [
  ['fault', ({ fault }) => fault],
  ['setting', ({ setting }) => setting],
  ['tasks', ({ audit }) => audit.acknowledged],
  ['stops', ({ audit }) => audit.stopsAcknowledged],
  ['enqueue', ({ recovery }) => recovery.enqueueMs],
  ['task', ({ recovery }) => recovery.taskMs],
  ['stop', ({ recovery }) => recovery.stopMs],
  ['silence', ({ silenceMs }) => silenceMs],
  ['tail', ({ tailMs }) => tailMs],
  [
    'rejected enqueues',
    ({ rejected }) =>
      Object.entries(rejected)
        .map(([code, count]) => `${count} × ${code}`)
        .join(', ') || 0,
  ],
  ['rejected stops', ({ audit }) => audit.stopsRejected],
  ['ran again', ({ audit }) => audit.ranAgain],
  ['lost', ({ audit }) => audit.lost],
  ['two outcomes', ({ audit }) => audit.twoOutcomes],
  ['stops lost', ({ audit }) => audit.stopsLost],
  ['audit', verdict],
];

const MORE: typeof COLUMNS = [
  ['fault', ({ fault }) => fault],
  ['setting', ({ setting }) => setting],
  ['what to expect', ({ about }) => about],
  ['also seen', also],
];

/** Returns the page. Rows of other runs in the older page are kept in place. */
export function documentOf(rows: readonly FaultRow[], machine: string, older: string): string {
  const [main, more] = [COLUMNS, MORE].map((columns) => [header(columns), ...linesOf(rows, columns, older)].join('\n'));
  return `${HEAD}\n${machine}\n\n${main}\n\n## What to expect\n\n${more}\n`;
}

function header(columns: typeof COLUMNS): string {
  return `${line(columns.map(([title]) => title))}\n|${columns.map(() => '---').join('|')}|`;
}

function linesOf(rows: readonly FaultRow[], columns: typeof COLUMNS, older: string): string[] {
  const lines = new Map<string, string>();
  for (const text of older.split('\n'))
    if (text.startsWith('| ') && cells(text).length === columns.length && cells(text)[0] !== 'fault') lines.set(keyOf(text), text);
  for (const row of rows) {
    const text = line(columns.map(([, cell]) => String(cell(row))));
    lines.set(keyOf(text), text);
  }
  return [...lines.values()];
}

function line(texts: readonly string[]): string {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
}

function cells(text: string): string[] {
  return text.slice(2, -2).split(' | ');
}

/** The key of a line: fault and setting. */
function keyOf(text: string): string {
  return cells(text).slice(0, 2).join();
}

function verdict({ unexpected, tolerated }: FaultRow): string {
  const bad = Object.entries(unexpected).map(([kind, count]) => `${count} ${kind}`);
  if (bad.length > 0) return `**not clean: ${bad.join(', ')}**`;
  const accepted = Object.entries(tolerated).map(([kind, count]) => `${count} ${kind}`);
  return accepted.length > 0 ? `clean but for ${accepted.join(', ')}` : 'clean';
}

function also({ audit, figures }: FaultRow): string {
  const { madeThoughRejected, overlapping, endedBeforeAbort, zombies } = audit;
  const counts = {
    'tasks created though rejected': madeThoughRejected,
    'runs that overlapped': overlapping,
    'stopped, but completed before the abort': endedBeforeAbort,
    'handlers that kept running, abandoned or cut off': zombies,
  };
  const shown = [...Object.entries(figures), ...Object.entries(counts).filter(([, count]) => count > 0)];
  return shown.map(([name, figure]) => `${name}: ${figure}`).join('; ') || '–';
}
