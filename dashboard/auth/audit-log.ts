import { HashReader, isTime } from '../../shared/records/hash-reader.js';
import type { Store } from '../../shared/store.js';
import { CALLER_WAYS, type Principal, ROLES, type Role, callerKeyOf, seesItem } from './principal.js';

/** A recorded write, as shown to admins. */
export interface AuditRecord {
  /** Cursor for the next page. */
  readonly id: string;
  /** In ms since the epoch. */
  readonly at: number;
  readonly requestId: string | null;
  /** Null for an unauthenticated caller. */
  readonly name: string | null;
  /** The issuer of the name, see {@link Principal}. */
  readonly issuer: string | null;
  readonly role: Role | null;
  readonly via: Principal['via'] | null;
  readonly address: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly item: string | null;
  readonly reason: string | null;
  readonly outcome: 'allowed' | 'denied';
  /** The outcome, or the error code of the refusal. */
  readonly result: string;
}

interface AuditPage {
  /** Newest first. */
  readonly records: AuditRecord[];
  /** Cursor to pass as `after`; null on the last page. */
  readonly next: string | null;
}

/** Ids may occur in both streams: the letter names the stream and breaks the tie. */
const CURSOR = /^(\d{1,20}-\d{1,20})([ad])$/;

/** Returns whether a text is a valid cursor for `after`. */
export function isAuditCursor(text: string): boolean {
  return CURSOR.test(text);
}

/** Options of {@link readAudit}. */
interface AuditQuery {
  /** The `next` of the previous page. */
  readonly after?: string | null;
  /** At most 1,000. */
  readonly limit: number;
  /** Bounds of the time at which Redis recorded the write, in ms, both included. Default: none. */
  readonly since?: number | null;
  readonly until?: number | null;
  /** Filters records; reading continues until the page is full. Default: all. */
  readonly sees?: ((record: AuditRecord) => boolean) | undefined;
}

const MAX_RECORDS = 1_000;

/** Reads a page of allowed and denied writes, newest first. */
export async function readAudit(store: Store, { after = null, limit, since = null, until = null, sees }: AuditQuery): Promise<AuditPage> {
  const wanted = Math.min(Math.max(limit, 1), MAX_RECORDS);
  const records: AuditRecord[] = [];
  for (let from = after; ;) {
    const page = await readPage(store, { from, since, until, limit: sees ? MAX_RECORDS : wanted });
    const seen = sees ? page.records.filter(sees) : page.records;
    const room = wanted - records.length;
    records.push(...seen.slice(0, room));
    if (seen.length > room) return { records, next: records.at(-1)?.id ?? null };
    if (page.next === null) return { records, next: null };
    if (records.length === wanted && !sees) return { records, next: page.next };
    from = page.next;
  }
}

interface Range {
  /** The cursor of the last record before the range. */
  readonly from: string | null;
  readonly since: number | null;
  readonly until: number | null;
  readonly limit: number;
}

async function readPage(store: Store, { from: after, since, until, limit }: Range): Promise<AuditPage> {
  const count = limit + 1;
  const [, id, letter] = (after === null ? null : CURSOR.exec(after)) ?? [];
  // A time as an id of a stream is, as a bound, its whole millisecond.
  const [newest, oldest] = [until === null ? '+' : String(Math.max(0, until)), since === null ? '-' : String(Math.max(0, since))];
  // If both streams have the same id, the allowed entry comes first.
  const from = (own: 'a' | 'd'): string => (id === undefined ? newest : own === 'd' && letter === 'a' ? id : `(${id}`);
  const { audit, auditDenied } = store.keys;
  const [allowed, denied] = await Promise.all([
    readStream(store, audit, { from: from('a'), to: oldest, count }, 'a'),
    readStream(store, auditDenied, { from: from('d'), to: oldest, count }, 'd'),
  ]);
  const found = [...allowed, ...denied].sort(newestFirst);
  const records = found.slice(0, limit);
  return { records, next: found.length > limit ? (records.at(-1)?.id ?? null) : null };
}

/** Returns the filter for an admin with item patterns (own writes, and writes about visible items), or undefined to see everything. */
export function seesRecord(principal: Principal): ((record: AuditRecord) => boolean) | undefined {
  if (principal.items === null) return undefined;
  const own = callerKeyOf(principal);
  return ({ name, issuer, item }) =>
    (item !== null && seesItem(principal, item)) || (name !== null && callerKeyOf({ name, ...(issuer !== null && { issuer }) }) === own);
}

/** Converts a record to JSON for the API and `-o json`. */
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
  { from, to, count }: { readonly from: string; readonly to: string; readonly count: number },
  letter: 'a' | 'd',
): Promise<AuditRecord[]> {
  const entries = await unreadable.read(key, 'stream', redis.xrevrange(key, from, to, 'COUNT', count), []);
  return entries.map(([id, pairs]) => {
    const fields = new HashReader(Object.fromEntries(pairs.flatMap((name, index) => (index % 2 === 0 ? [[name, pairs[index + 1]]] : []))));
    const record = recordOf(`${id}${letter}`, fields, letter);
    if (fields.problem !== null) unreadable.report({ key, id, problem: fields.problem });
    return record;
  });
}

/** Parses an entry. Unreadable fields are null; an unreadable time is taken from the entry's id. */
function recordOf(id: string, fields: HashReader, letter: 'a' | 'd'): AuditRecord {
  const [written] = partsOf(id);
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
  const [ms, seq] = partsOf(one.id);
  const [otherMs, otherSeq] = partsOf(other.id);
  return otherMs - ms || otherSeq - seq || (one.id.endsWith('a') ? -1 : 1);
}

function partsOf(id: string): [number, number] {
  const [ms = '0', seq = '0'] = id.slice(0, -1).split('-');
  return [Number(ms), Number(seq)];
}
