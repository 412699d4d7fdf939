import type { Store } from '../../../../shared/store.js';
import type { TaskReader } from '../../../../shared/task/task-reader.js';
import type { TaskView } from '../../../../shared/task/view.js';
import type { EndLog } from '../../faults/audit/end-log.js';

const POLL_MS = 500;
const READ_AT_ONCE = 500;

/** Reads each task at its end, before it is removed, for the final audit. */
export class Archive {
  readonly #views = new Map<string, TaskView>();
  readonly #store: Store;
  readonly #ends: EndLog;
  #seen = 0;
  #closed = false;
  #running: Promise<void> | null = null;

  constructor(store: Store, ends: EndLog) {
    this.#store = store;
    this.#ends = ends;
  }

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#running;
  }

  /** The ids of all ended tasks. */
  get ids(): Iterable<string> {
    return this.#views.keys();
  }

  /** Returns the store with a reader that also knows removed tasks. */
  store(): Store {
    const read = async (ids: readonly string[]): Promise<Map<string, TaskView>> => {
      const rest = await this.#store.reader.read(ids.filter((id) => !this.#views.has(id)));
      const found = new Map<string, TaskView>();
      for (const id of ids) {
        const view = this.#views.get(id) ?? rest.get(id);
        if (view) found.set(id, view);
      }
      return found;
    };
    return { ...this.#store, reader: { read } as unknown as TaskReader };
  }

  /** Reads the tasks that have ended since the last call. */
  async read(): Promise<void> {
    const fresh = [...this.#ends.ends.keys()].slice(this.#seen);
    for (let from = 0; from < fresh.length; from += READ_AT_ONCE) {
      const some = fresh.slice(from, from + READ_AT_ONCE);
      for (const [id, view] of await this.#store.reader.read(some)) if (view) this.#views.set(id, view);
      this.#seen += some.length;
    }
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      // Redis may be down: the next call reads the rest.
      await this.read().catch(() => undefined);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }
}
