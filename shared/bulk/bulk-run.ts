import { type BulkOutcomes, type BulkReceipt, addOutcomes } from './bulk-receipt.js';

/** A page of the tasks of a bulk. */
export interface BulkPage {
  readonly ids: readonly string[];
  /** The position after this page; null after the last one. */
  readonly next: string | null;
}

/** What a bulk has done so far. */
export interface BulkTotals {
  /** The number of tasks when the bulk began; null if it was not counted. */
  readonly total: number | null;
  /** Tasks that have a receipt. */
  readonly done: number;
  readonly outcomes: BulkOutcomes;
}

/** The position of a bulk in its tasks. */
export interface BulkState extends BulkTotals {
  /** The page that was begun, and may be done in part; null for none. */
  readonly page: readonly string[] | null;
  /** The position after that page, or of the next one; null at the start. */
  readonly after: string | null;
  /** Whether there are no pages after that. */
  readonly isLast: boolean;
}

/**
 * Keeps the state of a bulk. A page is noted before the bulk acts on it, and its receipts after, so that a repetition acts on the same
 * tasks again and none stays without a receipt.
 */
export interface Journal {
  /** Returns the state that an earlier run left. */
  begin(): Promise<BulkState>;
  counted(total: number): Promise<void>;
  turnTo(page: BulkPage): Promise<void>;
  settle(receipts: readonly BulkReceipt[], totals: BulkTotals): Promise<void>;
}

/** A bulk's progress: the totals, and the receipts of its latest page. */
export interface BulkProgress<Receipt extends BulkReceipt = BulkReceipt> extends BulkTotals {
  readonly receipts: readonly Receipt[];
}

interface BulkRunOptions<Receipt extends BulkReceipt> {
  readonly journal: Journal;
  /** Returns the page after a position, null for the first one. */
  readonly pageAfter: (position: string | null) => Promise<BulkPage>;
  /** Counts the tasks; null if there are too many to count. */
  readonly count: () => Promise<number | null>;
  /** Acts on tasks. Safe to repeat. Returns a receipt for each. */
  readonly act: (ids: readonly string[]) => Promise<Receipt[]>;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: BulkProgress<Receipt>) => void) | undefined;
}

/**
 * Acts on all tasks of a bulk, page by page. An abort ends it between two pages; a repetition with the same journal continues it.
 * @throws the signal's reason; the first error of a page
 */
export async function runBulk<Receipt extends BulkReceipt>(options: BulkRunOptions<Receipt>): Promise<BulkTotals> {
  const { journal, pageAfter, count, act, signal, onProgress } = options;
  let { page, after, isLast, ...totals } = await journal.begin();
  if (totals.total === null) {
    const total = await count();
    if (total !== null) await journal.counted(total);
    totals = { ...totals, total };
  }
  onProgress?.({ ...totals, receipts: [] });
  for (;;) {
    if (page !== null && page.length > 0) {
      const receipts = await act(page);
      totals = { ...totals, done: totals.done + receipts.length, outcomes: addOutcomes(totals.outcomes, receipts) };
      await journal.settle(receipts, totals);
      onProgress?.({ ...totals, receipts });
    }
    if (isLast) return totals;
    signal?.throwIfAborted();
    const next = await pageAfter(after);
    if (next.ids.length > 0) await journal.turnTo(next);
    [page, after, isLast] = [next.ids, next.next, next.next === null];
  }
}

/** The journal of a bulk that ends with its process. */
export class MemoryJournal implements Journal {
  constructor(private readonly empty: BulkOutcomes) {}

  begin(): Promise<BulkState> {
    return Promise.resolve({ total: null, done: 0, outcomes: this.empty, page: null, after: null, isLast: false });
  }

  counted(): Promise<void> {
    return Promise.resolve();
  }

  turnTo(): Promise<void> {
    return Promise.resolve();
  }

  settle(): Promise<void> {
    return Promise.resolve();
  }
}
