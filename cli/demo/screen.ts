import type { Paint } from './columns.js';
import type { TaskRow } from './task-row.js';

/** Shows how the tasks get on: live on a terminal, as lines elsewhere. */
export interface Screen {
  readonly paint: Paint;
  /** A line of the story. May be called at any time. */
  tell(line: string): void;
  /** Shows these tasks from now on. */
  show(rows: readonly TaskRow[]): void;
  /** A task has another state. */
  changed(row: TaskRow): void;
  /** Shows no more progress. May be called again. */
  close(): void;
}
