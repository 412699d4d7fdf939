import { HashReader } from '../records/hash-reader.js';
import type { RecordSource } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { LockLost } from '../stop/cause.js';
import type { BulkAction } from './bulk-filter.js';
import { type BulkReceipt, formatReceipt, noOutcomes, parseReceipt, readOutcomes } from './bulk-receipt.js';
import type { BulkPage, BulkState, BulkTotals, Journal } from './bulk-run.js';

/** How long a journal is kept from its last write, in ms: longer than the bulk's task. */
const KEPT_MS = 8 * 24 * 3_600_000;
/** Receipts kept of one bulk; further tasks are only counted. */
const MAX_RECEIPTS = 100_000;

type BulkStore = RecordSource & { readonly redis: ScriptedRedis };

/** Reads the journal of a bulk; its start if there is none. */
export async function readBulk({ redis, keys, unreadable }: BulkStore, id: string, action: BulkAction): Promise<BulkState> {
  const key = keys.bulk(id);
  const fields = new HashReader(await unreadable.read(key, 'hash', redis.hgetall(key), {}));
  const [page, done] = [fields.strings('page'), fields.whole('done') ?? 0];
  const state = {
    ...{ total: fields.whole('total'), done, outcomes: readOutcomes(action, fields.object('outcomes')) },
    ...{ page: page.length === 0 ? null : page, after: fields.text('after'), isLast: fields.flag('last') ?? false },
  };
  if (fields.problem === null) return state;
  unreadable.report({ key, problem: fields.problem });
  // Without its position, the bulk begins again: what it has done no longer matches its filter, or is not done twice.
  return { total: null, done: 0, outcomes: noOutcomes(action), page: null, after: null, isLast: false };
}

/** Returns up to `limit` receipts of a bulk from an index on, and whether there are more. Leaves out unreadable ones. */
export async function readReceipts(
  { redis, keys, unreadable }: BulkStore,
  { id, action, from, limit }: { readonly id: string; readonly action: BulkAction; readonly from: number; readonly limit: number },
): Promise<{ readonly receipts: BulkReceipt[]; readonly more: boolean }> {
  const key = keys.bulk(`${id}:receipts`);
  const texts = await unreadable.read(key, 'list', redis.lrange(key, from, from + limit), []);
  const receipts = texts.slice(0, limit).flatMap((text, index) => {
    const receipt = parseReceipt(action, text);
    if (receipt === null) unreadable.report({ key, id: String(from + index), problem: 'expected a receipt as JSON' });
    return receipt ?? [];
  });
  return { receipts, more: texts.length > limit };
}

/** The journal of a bulk that other workers continue. */
export class RedisJournal implements Journal {
  /** @param run tells the runs of the bulk's task apart: only the last one writes */
  constructor(
    private readonly store: BulkStore,
    private readonly id: string,
    private readonly action: BulkAction,
    private readonly run: string,
  ) {}

  async begin(): Promise<BulkState> {
    await this.#write({ taking: true });
    return readBulk(this.store, this.id, this.action);
  }

  counted(total: number): Promise<void> {
    return this.#write({ fields: ['total', total] });
  }

  turnTo({ ids, next }: BulkPage): Promise<void> {
    return this.#write({ fields: ['page', JSON.stringify(ids), 'after', next ?? '', 'last', Number(next === null)] });
  }

  settle(receipts: readonly BulkReceipt[], { done, outcomes }: BulkTotals): Promise<void> {
    const fields = ['page', '', 'done', done, 'outcomes', JSON.stringify(outcomes)];
    return this.#write({ fields, receipts: receipts.map(formatReceipt) });
  }

  /** Adds the end of this run to the audit, as fields and values. */
  async audit(most: number, words: readonly string[]): Promise<void> {
    const { redis, keys } = this.store;
    await redis.auditBulk(keys.bulk(this.id), keys.audit, this.run, most, ...words);
  }

  /** @throws LockLost if another run has taken the journal */
  async #write({ taking = false, fields = [], receipts = [] }: Written): Promise<void> {
    const { redis, keys } = this.store;
    const words = [this.run, Number(taking), KEPT_MS, MAX_RECEIPTS, fields.length, ...fields, ...receipts];
    const written = await redis.writeBulk(keys.bulk(this.id), keys.bulk(`${this.id}:receipts`), ...words);
    if (written === 0) throw new LockLost();
  }
}

interface Written {
  readonly taking?: boolean;
  readonly fields?: readonly (string | number)[];
  readonly receipts?: readonly string[];
}
