import { closeSync, fstatSync, openSync, readSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

/** One call of a handler. Times are values of `now`. */
export interface HandlerRun {
  readonly id: string;
  readonly pid: number;
  readonly beganAt: number;
  /** The last sign of life. */
  lastAt: number;
  endedAt: number | null;
  how: 'returned' | 'threw' | null;
  /** The name of the cause, once the signal is aborted. */
  aborted: string | null;
}

/** The notes of the load's handlers in all processes: see fault-tasks.mjs. */
export class HandlerLog {
  /** In reading order. */
  readonly runs = new Map<string, HandlerRun>();
  readonly #byTask = new Map<string, HandlerRun[]>();
  readonly #read = new Map<string, number>();
  readonly #cut = new Map<string, string>();

  constructor(readonly folder: string) {}

  /** Reads new notes. */
  refresh(): this {
    for (const name of readdirSync(this.folder)) this.#readFile(name);
    return this;
  }

  /** Returns the calls for a task by start time. */
  of(id: string): readonly HandlerRun[] {
    return this.#byTask.get(id)?.toSorted((a, b) => a.beganAt - b.beganAt) ?? [];
  }

  all(): HandlerRun[] {
    return [...this.runs.values()];
  }

  /** Returns the calls running at this time. */
  at(time: number): HandlerRun[] {
    return this.all().filter(({ beganAt, endedAt }) => beganAt <= time && (endedAt ?? Infinity) > time);
  }

  #readFile(name: string): void {
    const file = openSync(join(this.folder, name), 'r');
    const from = this.#read.get(name) ?? 0;
    const bytes = Buffer.alloc(Math.max(0, fstatSync(file).size - from));
    const length = readSync(file, bytes, 0, bytes.length, from);
    closeSync(file);
    this.#read.set(name, from + length);
    const lines = ((this.#cut.get(name) ?? '') + bytes.toString('latin1', 0, length)).split('\n');
    this.#cut.set(name, lines.pop() ?? '');
    for (const line of lines) this.#take(JSON.parse(line) as [id: string, run: string, what: string, at: number]);
  }

  #take([id, name, what, at]: [id: string, run: string, what: string, at: number]): void {
    if (what === 'begin') {
      const begun: HandlerRun = { id, pid: Number(name.split('-')[0]), beganAt: at, lastAt: at, endedAt: null, how: null, aborted: null };
      this.runs.set(name, begun);
      this.#byTask.set(id, [...(this.#byTask.get(id) ?? []), begun]);
      return;
    }
    const run = this.runs.get(name);
    if (!run) throw new Error(`The handler of ${id} says ${what} before it began`);
    if (what === 'returned' || what === 'threw') {
      run.how = what;
      run.endedAt = at;
    } else if (what.startsWith('abort ')) run.aborted ??= what.slice('abort '.length);
    else run.lastAt = at;
  }
}
