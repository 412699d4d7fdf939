import type { Response } from 'express';
import type { Store } from '../../shared/store.js';
import { addressOf } from '../client-address.js';
import { auditorOf, requestIdOf } from '../request-context.js';
import type { AuditEntry } from './auditor.js';
import { type Principal, type Role, findPrincipal } from './principal.js';

export type { AuditEntry } from './auditor.js';

/** Records a write of this request; every route that changes something calls it, also when it refuses. Never rejects. */
export function audit(res: Response, entry: AuditEntry): Promise<void> {
  return auditorOf(res).record({ requestId: requestIdOf(res), address: addressOf(res.req), principal: findPrincipal(res) }, entry);
}

/** One write, as it is shown to admins. */
export interface AuditRecord {
  /** For the next page. */
  readonly id: string;
  /** In ms. */
  readonly at: number;
  readonly requestId: string | null;
  /** Null for somebody who did not say who it is, or not rightly. */
  readonly name: string | null;
  readonly role: Role | null;
  readonly via: Principal['via'] | null;
  readonly address: string | null;
  readonly action: string;
  readonly target: string | null;
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

/** A page of what was allowed and denied, newest first; `limit` is at most 1,000. `after` is the `next` of the page before. */
export async function readAudit({ redis, keys }: Store, { after = null, limit }: { readonly after?: string | null; readonly limit: number }): Promise<AuditPage> {
  const count = Math.min(Math.max(limit, 1), 1_000) + 1;
  const [, id, letter] = (after === null ? null : CURSOR.exec(after)) ?? [];
  // Of an id that is in both streams, the allowed one comes first.
  const from = (own: 'a' | 'd'): string => (id === undefined ? '+' : own === 'd' && letter === 'a' ? id : `(${id}`);
  const [allowed, denied] = await Promise.all([
    redis.xrevrange(keys.audit, from('a'), '-', 'COUNT', count),
    redis.xrevrange(keys.auditDenied, from('d'), '-', 'COUNT', count),
  ]);
  const found = [...allowed.map((entry) => recordOf(entry, 'a')), ...denied.map((entry) => recordOf(entry, 'd'))].sort(newestFirst);
  const records = found.slice(0, count - 1);
  return { records, next: found.length >= count ? (records.at(-1)?.id ?? null) : null };
}

/** For the API and `-o json`. */
export function auditToJson({ requestId, at, ...record }: AuditRecord): Record<string, unknown> {
  const { id, name, role, via, address, action, target, reason, outcome, result } = record;
  return { id, at: new Date(at).toISOString(), request_id: requestId, name, role, via, address, action, target, reason, outcome, result };
}

function recordOf([id, pairs]: [string, string[]], letter: 'a' | 'd'): AuditRecord {
  const fields = new Map<string, string>();
  for (let at = 0; at + 1 < pairs.length; at += 2) fields.set(pairs[at] as string, pairs[at + 1] as string);
  const text = (name: string): string | null => fields.get(name) || null;
  return {
    id: `${id}${letter}`,
    at: Number(fields.get('at')),
    requestId: text('request_id'),
    name: text('name'),
    role: text('role') as Role | null,
    via: text('via') as Principal['via'] | null,
    address: text('address'),
    action: text('action') ?? '',
    target: text('target'),
    reason: text('reason'),
    outcome: letter === 'a' ? 'allowed' : 'denied',
    result: text('result') ?? '',
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
