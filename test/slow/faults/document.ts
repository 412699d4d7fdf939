import type { FaultRow } from './report.js';

const HEAD = `# Faults

What the fleet does while parts of it die, measured: \`npm run faults\` makes this page. Each line is a run of real worker
processes on real redis-servers under load, 1,000 to 5,000 tasks and more while it goes on, with default settings unless
the line says otherwise: short tasks, tasks that run until they are stopped, that do not heed their signal, that are
retried, that fail, that run in threads; 20 stops a second, of tasks and of items. Each ends in the same audit:

- every task that was acknowledged ended once, as it should: completed, failed or cancelled; a task whose enqueue was
  rejected does not exist, or ended once too (\`REDIS_UNAVAILABLE\` and \`NOT_REPLICATED\` leave that open);
- what the queue's events, the receipts and those who waited say of its end is what the task says;
- an acknowledged stop ended in \`cancelled\`, or the task had completed before the abort reached it;
- no handler began, or went on, after its stop was settled; but for those that nobody can end or tell: given up after
  their grace, or frozen or cut off while others took over;
- nothing is left: no entry in the registry, no job that waits or runs, no lock.

Times are in ms from the fault. *Enqueue*, *task* and *stop* are the first of each that was begun after the fault and
succeeded: acknowledged, ended and settled. *Silence* is the longest time without an acknowledged enqueue. *Tail* is when
the last of the tasks that ran at the time of the fault had ended, but for those that fail and wait in line again. *Ran again* counts calls of handlers beyond what the
definition allows for: a task runs at least once. *Lost*, *two ends* and *stops lost* count tasks.
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
  ['two ends', ({ audit }) => audit.twoOutcomes],
  ['stops lost', ({ audit }) => audit.stopsLost],
  ['audit', verdict],
];

const MORE: typeof COLUMNS = [
  ['fault', ({ fault }) => fault],
  ['setting', ({ setting }) => setting],
  ['what to expect', ({ about }) => about],
  ['also seen', also],
];

/** The page. Lines that an older page has of other runs stay, in their place. */
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

/** Fault and setting. */
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
    'tasks made though rejected': madeThoughRejected,
    'runs that overlapped': overlapping,
    'stopped, and completed before the abort': endedBeforeAbort,
    'handlers that ran on, given up or cut off': zombies,
  };
  const shown = [...Object.entries(figures), ...Object.entries(counts).filter(([, count]) => count > 0)];
  return shown.map(([name, figure]) => `${name}: ${figure}`).join('; ') || '–';
}
