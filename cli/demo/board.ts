import { setMaxListeners } from 'node:events';
import type { Producer } from '../../producer/index.js';
import type { StopReceipt } from '../../shared/stop/receipt.js';
import type { BatchTask } from './batch.js';
import { TaskRow } from './task-row.js';

/** Follows the tasks of the demo through the producer's events, as any client could. */
export class Board {
  readonly rows: readonly TaskRow[];
  readonly #producer: Producer;
  readonly #onState: (row: TaskRow) => void;
  readonly #waiting = new Set<() => void>();

  /** `onState` is called after each change of a task's state, with the task read again. */
  constructor(producer: Producer, batch: readonly BatchTask[], onState: (row: TaskRow) => void) {
    this.#producer = producer;
    this.#onState = onState;
    this.rows = batch.map((task) => new TaskRow(task));
  }

  row(id: string): TaskRow {
    const row = this.rows.find(({ task }) => task.id === id);
    if (row === undefined) throw new Error(`The demo has no task ${id}`);
    return row;
  }

  /** Resolves when all tasks have ended. @throws the signal's reason; a FleetError if one cannot be followed */
  async follow(signal: AbortSignal): Promise<void> {
    // One for each task: no leak.
    setMaxListeners(0, signal);
    await Promise.all(this.rows.map((row) => this.#follow(row, signal)));
  }

  /** Resolves when the condition holds; it is looked at whenever something happens. @throws the signal's reason */
  until(condition: () => boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        if (!signal.aborted && !condition()) return;
        this.#waiting.delete(settle);
        signal.removeEventListener('abort', settle);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      this.#waiting.add(settle);
      signal.addEventListener('abort', settle);
      settle();
    });
  }

  keep(receipts: readonly StopReceipt[]): void {
    for (const receipt of receipts) this.row(receipt.id).receipt = receipt;
  }

  async #follow(row: TaskRow, signal: AbortSignal): Promise<void> {
    for await (const event of this.#producer.events(row.task.id, { signal })) {
      const before = row.state;
      row.apply(event);
      if (row.state !== before) {
        row.view = await this.#producer.get(row.task.id);
        this.#onState(row);
      }
      for (const settle of this.#waiting) settle();
    }
  }
}
