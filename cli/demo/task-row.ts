import type { StopReceipt } from '../../shared/stop/receipt.js';
import type { TaskEvent } from '../../shared/task/event-stream.js';
import { type TaskState, isTerminal } from '../../shared/task/state.js';
import type { TaskView } from '../../shared/task/view.js';
import type { BatchTask } from './batch.js';

const KEPT_TEXT = 200;

/** What is known of one task of the demo while it is followed. */
export class TaskRow {
  readonly task: BatchTask;
  state: TaskState = 'queued';
  /** The task as it was read last: at its start, then at its end. */
  view: TaskView | null = null;
  /** The answer to its stop, if it was stopped. */
  receipt: StopReceipt | null = null;
  /** How much is done, 0 to 1; null if it does not say. */
  share: number | null = null;
  /** Pieces of text that came so far. */
  pieces = 0;
  /** The end of the text that came so far, on one line. */
  text = '';

  constructor(task: BatchTask) {
    this.task = task;
  }

  get ended(): boolean {
    return isTerminal(this.state);
  }

  /** From its start to its end, or to `now`, in ms; null if it has not started. */
  durationMs(now: number): number | null {
    const { startedAt = null, finishedAt = null } = this.view ?? {};
    return startedAt && Math.max(0, (finishedAt?.getTime() ?? now) - startedAt.getTime());
  }

  apply(event: TaskEvent): void {
    switch (event.type) {
      case 'state':
        this.state = event.state;
        break;
      case 'progress':
        this.share = shareOf(event.progress);
        break;
      case 'chunk':
        // Reasoning and calls of tools are not part of the text.
        if (typeof event.chunk !== 'string') break;
        this.pieces += 1;
        this.text = `${this.text}${event.chunk.replace(/\p{Cc}+/gu, ' ')}`.slice(-KEPT_TEXT);
        break;
      default:
        event satisfies never;
    }
  }
}

/** Canaries say per cent, `document.index` says how many files of how many. */
function shareOf(progress: unknown): number | null {
  if (typeof progress === 'number') return progress / 100;
  if (typeof progress !== 'object' || progress === null || !('done' in progress) || !('total' in progress)) return null;
  const total = Number(progress.total);
  return total > 0 ? Number(progress.done) / total : null;
}

/** The process that runs a task, for people: `pid 4711` from the worker's id, `host-4711-3fa9c2d1`. */
export function workerName(view: TaskView | null): string {
  if (view?.worker == null || view.startedAt === null) return '–';
  const pid = /-(\d+)-[^-]+$/.exec(view.worker)?.[1];
  return pid === undefined ? view.worker.slice(-10) : `pid ${pid}`;
}
