import type { Store } from '../../shared/store.js';
import { type Principal, type Role, callerKeyOf, seesItem } from './principal.js';

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
const CURSOR = /^(\d{1,15}-\d{1,20})([ad])$/;

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
  for (let from = after; ; ) {
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

async function readPage({ redis, keys }: Store, after: string | null, limit: number): Promise<AuditPage> {
  const count = limit + 1;
  const [, id, letter] = (after === null ? null : CURSOR.exec(after)) ?? [];
  // Of an id that is in both streams, the allowed one comes first.
  const from = (own: 'a' | 'd'): string => (id === undefined ? '+' : own === 'd' && letter === 'a' ? id : `(${id}`);
  const [allowed, denied] = await Promise.all([
    redis.xrevrange(keys.audit, from('a'), '-', 'COUNT', count),
    redis.xrevrange(keys.auditDenied, from('d'), '-', 'COUNT', count),
  ]);
  const found = [...allowed.map((entry) => recordOf(entry, 'a')), ...denied.map((entry) => recordOf(entry, 'd'))].sort(newestFirst);
  const records = found.slice(0, limit);
  return { records, next: found.length > limit ? (records.at(-1)?.id ?? null) : null };
}

/** What an admin sees of the audit: with item patterns what it did itself, and what was about an item that it may see; else everything. */
export function seesRecord(principal: Principal): ((record: AuditRecord) => boolean) | undefined {
  if (principal.items === null) return undefined;
  const own = callerKeyOf(principal);
  return ({ name, issuer, item }) => (item !== null && seesItem(principal, item)) || (name !== null && callerKeyOf({ name, ...(issuer !== null && { issuer }) }) === own);
}

/** For the API and `-o json`. */
export function auditToJson({ requestId, at, ...record }: AuditRecord): Record<string, unknown> {
  const { id, name, issuer, role, via, address, action, target, item, reason, outcome, result } = record;
  return { id, at: new Date(at).toISOString(), request_id: requestId, name, issuer, role, via, address, action, target, item, reason, outcome, result };
}

function recordOf([id, pairs]: [string, string[]], letter: 'a' | 'd'): AuditRecord {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < pairs.length; at += 2) fields.set(pairs[at] as string, pairs[at + 1] as string);
  const text = (name: string): string | null => fields.get(name) || null;
  return {
    id: `${id}${letter}`,
    // Also of an entry that something else has written: the id of a stream's entry begins with its time.
    at: timeOf(fields.get('at')) ?? Number(id.split('-')[0]),
    requestId: text('request_id'),
    name: text('name'),
    issuer: text('issuer'),
    role: text('role') as Role | null,
    via: text('via') as Principal['via'] | null,
    address: text('address'),
    action: text('action') ?? '',
    target: text('target'),
    item: text('item'),
    reason: text('reason'),
    outcome: letter === 'a' ? 'allowed' : 'denied',
    result: text('result') ?? '',
  };
}

function timeOf(text: string | undefined): number | null {
  const at = Number(text || NaN);
  return Number.isNaN(new Date(at).getTime()) ? null : at;
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
