import type { Admission } from '../../../shared/limiter/standing.js';
import type { LimiterArena } from './arena.js';
import type { Entrant } from './entrant.js';
import { type Ledger, readLedger, scoreOf } from './ledger.js';
import { limitOf } from './needs.js';

/** Checks what the limiter stores after every command. */
export class Inspector {
  /**
   * A record or key was deleted, so that records, places and counts differ: a place without a record is found only once another task
   * waits for it, a lost one only at the start of its task, and the counts are wrong until no task is left.
   */
  isDamaged = false;
  readonly #log: string[] = [];
  readonly #violations: string[] = [];
  #before: Ledger | null = null;

  constructor(
    private readonly arena: LimiterArena,
    private readonly entrants: readonly Entrant[],
  ) {}

  note(text: string): void {
    this.#log.push(text);
  }

  violated(text: string): void {
    this.note(`VIOLATED: ${text}`);
    this.#violations.push(text);
  }

  /** @throws if an invariant was violated */
  report(): void {
    if (this.#violations.length > 0) throw new Error(`${this.#violations.join('\n')}\n\nWhat happened:\n  ${this.#log.join('\n  ')}`);
  }

  /** Compares the keys with those after the previous command. */
  async inspect(): Promise<Ledger> {
    const after = await readLedger(this.arena.redis, this.arena.start);
    const before = this.#before;
    if (before) for (const [id, holders] of after.places) this.#checkGrants(id, holders, before, after);
    if (!this.isDamaged) this.#checkRecords(after);
    this.#before = after;
    return after;
  }

  admitted({ label, limited, whenBusy }: Entrant, admission: Admission): void {
    const rivals =
      'rivals' in admission && admission.rivals.length > 0 ? `, in favour of which ${admission.rivals.join()} are stopped` : '';
    const id = 'id' in admission ? ` for ${admission.id}` : '';
    this.note(`${label} (${limited.steps.map((step) => step.id).join(' → ')}): ${admission.kind}${id}${rivals}`);
    if (admission.kind === 'parent' && !limited.ancestors?.some((ancestor) => admission.ids.includes(ancestor)))
      this.violated(`${label} is refused because of ${admission.ids.join()}, none of which is above it`);
    if (admission.kind === 'line' && whenBusy === 'reject' && !limited.steps.some(({ kind }) => kind !== 'place'))
      this.violated(`${label} waits, but was to be refused`);
    if (admission.kind === 'busy' && whenBusy !== 'reject' && !limited.steps.some(({ maxWaiting }) => maxWaiting !== undefined))
      this.violated(`${label} is refused, but was to wait`);
  }

  /** New holders of a key: at most as many as its limit, and none before an older one of its line. */
  #checkGrants(id: string, holders: readonly string[], before: Ledger, after: Ledger): void {
    const grown = holders.filter((holder) => !before.places.get(id)?.includes(holder));
    const limit = limitOf(id, this.arena.set);
    const known = grown.filter((holder) => !this.#byId(holder)?.isForgotten);
    if (known.length > 0 && holders.length > limit)
      this.violated(`${this.#names(holders)} hold ${id}, whose limit is ${limit}; ${this.#names(known)} got it last`);
    // A task with further keys may have got the place in between, had to wait for another key, and given way to an older task.
    const isLast = (task: string): boolean => after.records.get(task)?.steps.at(-1)?.id === id;
    const stillWaits = (task: string): boolean => after.lines.get(id)?.some(([other]) => other === task) ?? false;
    const waited = before.lines.get(id)?.filter(([task]) => isLast(task) && stillWaits(task)) ?? [];
    for (const holder of known) {
      const record = after.records.get(holder);
      const older = waited.filter(([, score]) => record && score < scoreOf(record));
      if (older.length > 0) this.violated(`${this.#names([holder])} got ${id} before ${this.#names(older.map(([task]) => task))}`);
    }
  }

  /** The records, the places, the lines and the counts say the same. */
  #checkRecords(ledger: Ledger): void {
    const counts = new Map<string, number>();
    const held = new Set<string>();
    for (const [id, record] of ledger.records) {
      const name = this.#names([id]);
      const isWaiting = record.state === 'line';
      // A run that was requeued has had its turn.
      const hasRun = this.#byId(id)?.hasRun ?? true;
      const next = isWaiting ? record.step - 1 : record.steps.length;
      record.steps.forEach((step, index) => {
        const holds = ledger.places.get(step.id)?.includes(id) ?? false;
        if (holds) held.add(`${step.id} ${id}`);
        const needs = index < next && (step.kind === 'place' || (step.kind === 'turn' && record.state !== 'running' && !hasRun));
        if (needs && !holds) this.violated(`${name} is ${record.state} at step ${record.step} and does not hold ${step.id}`);
        if (holds && index >= next) this.violated(`${name} waits at step ${record.step} and holds ${step.id}`);
        if (holds && step.kind === 'turn' && record.state === 'running') this.violated(`${name} runs and holds its turn ${step.id}`);
      });
      const waits = [...ledger.lines].filter(([, line]) => line.some(([task]) => task === id)).map(([key]) => key);
      if (waits.length !== (isWaiting ? 1 : 0)) this.violated(`${name} is ${record.state} and in the lines [${waits.join()}]`);
      if (!isWaiting) continue;
      for (const field of [`name:${record.name}`, `queue:${record.queue}`]) counts.set(field, (counts.get(field) ?? 0) + 1);
    }
    for (const [key, holders] of ledger.places)
      for (const holder of holders)
        if (!held.has(`${key} ${holder}`)) this.violated(`${this.#names([holder])} holds ${key} without a record`);
    for (const field of new Set([...counts.keys(), ...ledger.waiting.keys()]))
      if ((counts.get(field) ?? 0) !== (ledger.waiting.get(field) ?? 0))
        this.violated(`${counts.get(field) ?? 0} tasks wait, but ${field} counts ${ledger.waiting.get(field) ?? 0}`);
    for (const { id, label, phase } of this.entrants)
      if (phase === 'running' && ledger.records.get(id)?.state !== 'running')
        this.violated(`${label} runs, but is ${ledger.records.get(id)?.state ?? 'unknown'}`);
  }

  /** No task waits for a place that is free. */
  checkRest(ledger: Ledger): void {
    for (const [id, line] of ledger.lines) {
      const holders = ledger.places.get(id) ?? [];
      const first = line[0]?.[0] as string;
      if (id.startsWith('rate:')) {
        if (!ledger.due.has(id)) this.violated(`${this.#names([first])} waits for ${id}, which is never due`);
      } else if (holders.length < limitOf(id, this.arena.set)) {
        this.violated(`${this.#names([first])} waits for ${id}, of which only ${holders.length} places are taken`);
      }
    }
  }

  /** Nothing is left but limits, the sequence, and rates that expire. Returns the keys that may be left by deleted ones. */
  checkNothingLeft(ledger: Ledger): string[] {
    const left = [...ledger.keys].filter(([key, ttl]) => !KEPT.has(key) && !(key.startsWith('rate:') && ttl >= 0)).map(([key]) => key);
    const lost = this.isDamaged ? left.filter((key) => !/^(?:places|paid):/.test(key)) : left;
    if (lost.length > 0) this.violated(`left behind: ${lost.join()}`);
    return left;
  }

  #byId(id: string): Entrant | undefined {
    return this.entrants.find((entrant) => entrant.id === id);
  }

  #names(ids: readonly string[]): string {
    return ids.map((id) => this.#byId(id)?.label ?? id).join();
  }
}

const KEPT: ReadonlySet<string> = new Set(['defined', 'set', 'seq', 'tended', 'sweep']);
