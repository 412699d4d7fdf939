import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import type { StopReceipt } from '../../../shared/stop/receipt.js';
import type { TerminalState } from '../../../shared/task/state.js';
import type { Enqueued, History, Rejected } from '../faults/audit/history.js';

/** An answer that a client received, one per line. Times are values of `now`. */
export type Fact =
  | { readonly fact: 'enqueued'; readonly task: Enqueued }
  | { readonly fact: 'refused'; readonly what: 'enqueue' | 'stop'; readonly id: string; readonly call: Rejected }
  /** A requested stop of a task or an item, written before the call. */
  | { readonly fact: 'asked'; readonly id: string }
  | { readonly fact: 'asked item'; readonly item: string }
  | { readonly fact: 'stopped'; readonly askedAt: number; readonly answeredAt: number; readonly receipts: readonly StopReceipt[] }
  /** The end of a task, as received by a waiting client. */
  | { readonly fact: 'ended'; readonly id: string; readonly state: TerminalState };

/** The journal of the producer's process, which so keeps only live tasks in memory. */
export class JournalWriter {
  readonly #file: number;

  constructor(path: string) {
    this.#file = openSync(path, 'a');
  }

  write(fact: Fact): void {
    writeSync(this.#file, `${JSON.stringify(fact)}\n`);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads a journal into a history. Returns the ids of the rejected enqueues with their codes. */
export function readJournal(path: string, history: History): Map<string, string> {
  const rejected = new Map<string, string>();
  for (const line of readFileSync(path, 'utf8').split('\n')) if (line !== '') enter(JSON.parse(line) as Fact, history, rejected);
  return rejected;
}

function enter(fact: Fact, history: History, rejected: Map<string, string>): void {
  switch (fact.fact) {
    case 'enqueued':
      history.enqueued.set(fact.task.id, fact.task);
      return;
    case 'refused':
      if (fact.what === 'enqueue') rejected.set(fact.id, fact.call.code);
      (fact.what === 'enqueue' ? history.refusedEnqueues : history.refusedStops).push(fact.call);
      return;
    case 'asked':
      history.asked.add(fact.id);
      return;
    case 'asked item':
      history.askedItems.add(fact.item);
      return;
    case 'stopped':
      for (const receipt of fact.receipts) {
        history.asked.add(receipt.id);
        history.stops.push({ askedAt: fact.askedAt, answeredAt: fact.answeredAt, receipt });
      }
      return;
    case 'ended':
      history.ends.push({ id: fact.id, state: fact.state });
  }
}
