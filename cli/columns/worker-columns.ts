import type { WorkerView } from '../../producer/index.js';
import { formatMs } from '../../shared/time.js';
import type { Tone } from '../text/colour.js';
import type { ListColumn } from '../text/columns.js';
import { oneLine } from '../text/output.js';
import { formatAge, formatAgo } from '../text/table.js';

const MB = 1_048_576;
/** Workers that have been silent for longer than this may be dead, in ms. */
const SILENT_MS = 15_000;

/** The columns of a list of workers. */
export const WORKER_COLUMNS: readonly ListColumn<WorkerView>[] = [
  { name: 'id', flexible: true, text: ({ id }) => oneLine(id) },
  { name: 'state', text: stateOf, tone: toneOfState },
  { name: 'busy', numeric: true, text: ({ running, slots }) => `${running.length}/${slots ?? '?'}` },
  { name: 'queues', flexible: true, text: queuesOf },
  { name: 'memory', numeric: true, text: ({ memoryBytes }) => (memoryBytes === null ? null : `${Math.round(memoryBytes / MB)} MB`) },
  { name: 'delay', numeric: true, text: ({ loopDelayMs }) => (loopDelayMs === null ? null : formatMs(loopDelayMs)) },
  { name: 'version', text: ({ version }) => version && oneLine(version) },
  {
    name: 'up',
    text: ({ startedAt, beatAt, alive }, now) => startedAt && formatAge((alive ? now : (beatAt?.getTime() ?? now)) - startedAt.getTime()),
  },
  {
    name: 'beat',
    text: ({ beatAt }, now) => beatAt && formatAgo(now - beatAt.getTime()),
    tone: ({ alive, beatAt }, now) => (alive && beatAt && now - beatAt.getTime() > SILENT_MS ? 'warning' : null),
  },
  {
    name: 'differs',
    shown: 'filled',
    flexible: true,
    text: ({ definitionsDiffer }) => (definitionsDiffer.length === 0 ? null : definitionsDiffer.map(oneLine).join(',')),
    tone: () => 'warning',
  },
  { name: 'drained_by', shown: 'filled', text: ({ drained }) => drained && oneLine(drained.by ?? '(unknown)') },
  { name: 'reason', shown: 'filled', flexible: true, text: ({ drained }) => (drained?.reason ? oneLine(drained.reason) : null) },
  { name: 'last_words', shown: 'filled', flexible: true, text: ({ lastWords }) => lastWords && oneLine(lastWords) },
  { name: 'host', shown: 'chosen', text: ({ host }) => host && oneLine(host) },
  { name: 'pid', shown: 'chosen', numeric: true, text: ({ pid }) => (pid === null ? null : String(pid)) },
  { name: 'node', shown: 'chosen', text: ({ node }) => node && oneLine(node) },
  { name: 'threads', shown: 'chosen', numeric: true, text: ({ threads }) => (threads === null ? null : String(threads)) },
  { name: 'definitions', shown: 'chosen', numeric: true, text: ({ definitions }) => (definitions === null ? null : String(definitions)) },
  { name: 'zombies', shown: 'chosen', numeric: true, text: ({ zombies }) => (zombies === null ? null : String(zombies)) },
];

function stateOf({ alive, draining, drained, fetching, running, problem }: WorkerView): string {
  if (problem !== null) return 'unreadable';
  if (!alive) return 'dead';
  if (draining) return 'shutting down';
  if (drained) return fetching === false && running.length === 0 ? 'drained' : 'draining';
  return fetching === false ? 'resuming' : 'up';
}

function toneOfState(worker: WorkerView): Tone | null {
  switch (stateOf(worker)) {
    case 'up':
      return 'good';
    case 'dead':
    case 'unreadable':
      return 'bad';
    default:
      return 'ending';
  }
}

/** A worker of an older version takes the maintenance queue in any case, and does not say so. */
function queuesOf({ queues, maintenance }: WorkerView): string {
  const shown = queues.map(oneLine);
  return [...shown, ...(maintenance === false ? [] : ['maintenance'])].join(',');
}
