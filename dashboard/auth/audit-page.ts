import { HashReader, isTime } from '../../shared/hash-reader.js';
import type { Store } from '../../shared/store.js';
import { CALLER_WAYS, type Principal, ROLES, type Role, callerKeyOf, seesItem } from './principal.js';

/** One write, as it is shown to admins. */
export interface AuditRecord {
  /** For the next page. */
  readonly id: string;
  /** In ms. */
  readonly at: number;
  readonly requestId: string | null;
  /** Null for somebody who did not say who it is, or not rightly. */
  readonly name: string | null;
  /** Who vouches for the name: see {@link Principal}. */
  readonly issuer: string | null;
  readonly role: Role | null;
  readonly via: Principal['via'] | null;
  readonly address: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly item: string | null;
  readonly reason: string | null;
  readonly outcome: 'allowed' | 'denied';
  /** What came of it, or the code of the refusal. */
  readonly result: string;
}

export interface AuditPage {
  /** Newest first. */
  readonly records: AuditRecord[];
  /** For `after`; null if this is the end. */
  readonly next: string | null;
}

/** Ids of both streams may be equal: the letter tells whose it is, and orders them. */
const CURSOR = /^(\d{1,20}-\d{1,20})([ad])$/;

/** True for what `after` may be. */
export function isAuditCursor(text: string): boolean {
  return CURSOR.test(text);
}

/** What to read of the audit. */
export interface AuditQuery {
  /** The `next` of the page before. */
  readonly after?: string | null;
  /** At most 1,000. */
  readonly limit: number;
  /** Leaves the others out, and reads on until the page is full. Default: all. */
  readonly sees?: ((record: AuditRecord) => boolean) | undefined;
}

const MOST = 1_000;

/** A page of what was allowed and denied, newest first. */
export async function readAudit(store: Store, { after = null, limit, sees }: AuditQuery): Promise<AuditPage> {
  const wanted = Math.min(Math.max(limit, 1), MOST);
  const records: AuditRecord[] = [];
  for (let from = after; ;) {
    const page = await readPage(store, from, sees ? MOST : wanted);
    const seen = sees ? page.records.filter(sees) : page.records;
    const room = wanted - records.length;
    records.push(...seen.slice(0, room));
    if (seen.length > room) return { records, next: records.at(-1)?.id ?? null };
    if (page.next === null) return { records, next: null };
    if (records.length === wanted && !sees) return { records, next: page.next };
    from = page.next;
  }
}

async function readPage(store: Store, after: string | null, limit: number): Promise<AuditPage> {
  const count = limit + 1;
  const [, id, letter] = (after === null ? null : CURSOR.exec(after)) ?? [];
  // Of an id that is in both streams, the allowed one comes first.
  const from = (own: 'a' | 'd'): string => (id === undefined ? '+' : own === 'd' && letter === 'a' ? id : `(${id}`);
  const { audit, auditDenied } = store.keys;
  const [allowed, denied] = await Promise.all([
    readStream(store, audit, from('a'), count, 'a'),
    readStream(store, auditDenied, from('d'), count, 'd'),
  ]);
  const found = [...allowed, ...denied].sort(newestFirst);
  const records = found.slice(0, limit);
  return { records, next: found.length > limit ? (records.at(-1)?.id ?? null) : null };
}

/** What an admin sees of the audit: with item patterns what it did itself, and what was about an item that it may see; else everything. */
export function seesRecord(principal: Principal): ((record: AuditRecord) => boolean) | undefined {
  if (principal.items === null) return undefined;
  const own = callerKeyOf(principal);
  return ({ name, issuer, item }) =>
    (item !== null && seesItem(principal, item)) || (name !== null && callerKeyOf({ name, ...(issuer !== null && { issuer }) }) === own);
}

/** For the API and `-o json`. */
export function auditToJson({ requestId, at, ...record }: AuditRecord): Record<string, unknown> {
  const { id, name, issuer, role, via, address, action, target, item, reason, outcome, result } = record;
  return {
    id,
    at: new Date(at).toISOString(),
    request_id: requestId,
    name,
    issuer,
    role,
    via,
    address,
    action,
    target,
    item,
    reason,
    outcome,
    result,
  };
}

async function readStream(
  { redis, unreadable }: Store,
  key: string,
  from: string,
  count: number,
  letter: 'a' | 'd',
): Promise<AuditRecord[]> {
  const entries = await unreadable.read(key, 'stream', redis.xrevrange(key, from, '-', 'COUNT', count), []);
  return entries.map(([id, pairs]) => {
    const fields = new HashReader(Object.fromEntries(pairs.flatMap((name, index) => (index % 2 === 0 ? [[name, pairs[index + 1]]] : []))));
    const record = recordOf(`${id}${letter}`, fields, letter);
    if (fields.problem !== null) unreadable.report({ key, id, problem: fields.problem });
    return record;
  });
}

/** What cannot be read of an entry is null. Its time is then that of its id. */
function recordOf(id: string, fields: HashReader, letter: 'a' | 'd'): AuditRecord {
  const [written] = placeOf(id);
  return {
    id,
    at: fields.ms('at') ?? (isTime(written) ? written : 0),
    requestId: fields.text('request_id'),
    name: fields.text('name'),
    issuer: fields.text('issuer'),
    role: fields.oneOf('role', ROLES),
    via: fields.oneOf('via', CALLER_WAYS),
    address: fields.text('address'),
    action: fields.text('action') ?? '',
    target: fields.text('target'),
    item: fields.text('item'),
    reason: fields.text('reason'),
    outcome: letter === 'a' ? 'allowed' : 'denied',
    result: fields.text('result') ?? '',
  };
}

function newestFirst(one: AuditRecord, other: AuditRecord): number {
  const [ms, seq] = placeOf(one.id);
  const [otherMs, otherSeq] = placeOf(other.id);
  return otherMs - ms || otherSeq - seq || (one.id.endsWith('a') ? -1 : 1);
}

function placeOf(id: string): [number, number] {
  const [ms = '0', seq = '0'] = id.slice(0, -1).split('-');
  return [Number(ms), Number(seq)];
}
