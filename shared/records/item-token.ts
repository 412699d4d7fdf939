import { createHash, randomBytes } from 'node:crypto';
import { badArgument } from '../arguments.js';
import { FleetError } from '../errors.js';
import { problemOfItem, quote } from '../keys.js';
import type { Store } from '../store.js';
import { parseDuration } from '../time.js';

/**
 * Item tokens: short-lived tokens for certain items, made for browsers. Redis stores their hashes only, with an expiry, so that every
 * dashboard of the fleet accepts them by the same clock, and a copy of the data cannot be used to sign in.
 */
export const ITEM_TOKEN_ROLES = ['viewer', 'operator'] as const;
export type ItemTokenRole = (typeof ITEM_TOKEN_ROLES)[number];

export const MAX_TOKEN_MS = 3_600_000;
export const DEFAULT_TOKEN_MS = 900_000;
/** Maximum number of items, and of task names, of a token. */
export const MAX_TOKEN_ITEMS = 20;
const MIN_TOKEN_MS = 1_000;
const MAX_NAME_LENGTH = 64;
const PREFIX = 'tfi_';
const TOKEN = /^tfi_[\w-]{43}$/;
const ID = /^[0-9a-f]{32}$/;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@:-]{0,63}$/;

/** The rights of an item token, as stored. */
export interface ItemTokenRecord {
  /** The caller that issued it, followed by the bearer if one was given: `web/user-7`. */
  readonly name: string;
  /** How the issuer authenticated, see `Identity` of the dashboard; `producer` for {@link ItemTokens}. */
  readonly origin: string;
  /** `viewer` reads and follows; `operator` also stops, retries, and enqueues `tasks`. */
  readonly role: ItemTokenRole;
  /** Exact items, without patterns. */
  readonly items: readonly string[];
  /** Names of the tasks that the bearer may enqueue. */
  readonly tasks: readonly string[];
  /** In ms since the epoch, by the clock of Redis. */
  readonly expiresAt: number;
}

export interface ItemTokenOptions {
  /** `viewer` reads and follows tasks of the items; `operator` also stops and retries them, and enqueues `tasks`. */
  readonly role: ItemTokenRole;
  /** 1 to 20 items, exactly as tasks have them: `*` is refused. */
  readonly items: readonly string[];
  /** Names of up to 20 tasks that the bearer may enqueue with one of the items; requires the role operator. Default: none. */
  readonly tasks?: readonly string[] | undefined;
  /** Duration such as `15m`, from `1s` to `1h`. Default `15m`. */
  readonly expiresIn?: string | undefined;
  /** The bearer, for the audit and as `by` of stops: `user-7`. Default: the issuer alone. */
  readonly name?: string | undefined;
}

export interface IssuedItemToken {
  /** Shown once; it cannot be read back. */
  readonly token: string;
  /** Names the token in the audit, and revokes it. */
  readonly id: string;
  readonly expiresAt: Date;
}

interface Issuer {
  readonly name: string;
  readonly origin: string;
}

type TokenStore = Pick<Store, 'redis' | 'keys' | 'clock'>;

/** Stores a new token. @throws FleetError `INVALID_ITEM`, `INVALID_OPTION` */
export async function issueItemToken(
  { redis, keys, clock }: TokenStore,
  issuer: Issuer,
  options: ItemTokenOptions,
): Promise<IssuedItemToken> {
  const { role, items, tasks, ms, name } = checkOptions(options);
  const token = `${PREFIX}${randomBytes(32).toString('base64url')}`;
  const id = idOf(token);
  const expiresAt = clock.now() + ms;
  const record: ItemTokenRecord = {
    name: name === null ? issuer.name : `${issuer.name}/${name}`,
    ...{ origin: issuer.origin, role, items, tasks, expiresAt },
  };
  await redis.set(keys.itemToken(id), JSON.stringify(record), 'PX', ms);
  return { token, id, expiresAt: new Date(expiresAt) };
}

/** Returns the rights of a token and its id; null if it is unknown, expired or revoked. */
export async function readItemToken(
  { redis, keys }: TokenStore,
  token: string,
): Promise<{ readonly id: string; readonly record: ItemTokenRecord } | null> {
  if (!TOKEN.test(token)) return null;
  const id = idOf(token);
  const record = await readItemTokenById({ redis, keys }, id);
  return record && { id, record };
}

/** Returns the rights of the token with this id; null if it is unknown, expired or revoked. */
export async function readItemTokenById({ redis, keys }: Pick<TokenStore, 'redis' | 'keys'>, id: string): Promise<ItemTokenRecord | null> {
  const json = await redis.get(keys.itemToken(id));
  return json === null ? null : parseRecord(json);
}

/** Revokes a token: its bearer is refused at once, and open event streams end within a second. Returns false if there is no such token. */
export async function revokeItemToken({ redis, keys }: Pick<TokenStore, 'redis' | 'keys'>, id: string): Promise<boolean> {
  return isItemTokenId(id) && (await redis.del(keys.itemToken(id))) > 0;
}

/** Returns whether a bearer token has the form of an item token. */
export function looksLikeItemToken(token: string): boolean {
  return token.startsWith(PREFIX);
}

export function isItemTokenId(id: string): boolean {
  return ID.test(id);
}

function idOf(token: string): string {
  return createHash('sha256').update(token).digest('hex').slice(0, 32);
}

/** Parses a record; null if malformed, so that the bearer has to ask for a new token. */
function parseRecord(json: string): ItemTokenRecord | null {
  try {
    const { name, origin, role, items, tasks, expiresAt } = (JSON.parse(json) ?? {}) as Partial<ItemTokenRecord>;
    const known = ITEM_TOKEN_ROLES.find((one) => one === role);
    if (typeof name !== 'string' || typeof origin !== 'string' || known === undefined || typeof expiresAt !== 'number') return null;
    if (!isTexts(items) || !isTexts(tasks) || items.length === 0 || items.some((item) => item.includes('*'))) return null;
    return { name, origin, role: known, items, tasks, expiresAt };
  } catch {
    return null;
  }
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((one) => typeof one === 'string');
}

interface CheckedOptions {
  readonly role: ItemTokenRole;
  readonly items: readonly string[];
  readonly tasks: readonly string[];
  readonly ms: number;
  readonly name: string | null;
}

/** @throws FleetError `INVALID_ITEM`, `INVALID_OPTION` */
function checkOptions({ role: given, items, tasks = [], expiresIn, name }: ItemTokenOptions): CheckedOptions {
  const role = ITEM_TOKEN_ROLES.find((one) => one === given);
  if (role === undefined) throw badArgument('INVALID_OPTION', 'role', ITEM_TOKEN_ROLES.join(' or '), given);
  if (!isTexts(items) || items.length === 0 || items.length > MAX_TOKEN_ITEMS)
    throw badArgument('INVALID_ITEM', 'items', `1 to ${MAX_TOKEN_ITEMS} items`, items);
  for (const item of items) {
    const problem = problemOfTokenItem(item);
    if (problem !== null) throw new FleetError('INVALID_ITEM', `Bad items: ${problem}.`, { details: { field: 'items' } });
  }
  if (!isTexts(tasks) || tasks.length > MAX_TOKEN_ITEMS)
    throw badArgument('INVALID_OPTION', 'tasks', `at most ${MAX_TOKEN_ITEMS} task names`, tasks);
  if (tasks.length > 0 && role !== 'operator') throw badArgument('INVALID_OPTION', 'tasks', 'none with the role viewer', tasks);
  const ms = expiresIn === undefined ? DEFAULT_TOKEN_MS : parseDuration(expiresIn);
  if (ms === null || ms < MIN_TOKEN_MS || ms > MAX_TOKEN_MS)
    throw badArgument('INVALID_OPTION', 'expiresIn', 'a duration from 1s to 1h, such as 15m', expiresIn);
  if (name !== undefined && (typeof name !== 'string' || !NAME.test(name)))
    throw badArgument('INVALID_OPTION', 'name', `up to ${MAX_NAME_LENGTH} letters, digits or . _ @ : -`, name);
  return { role, items: [...new Set(items)], tasks: [...new Set(tasks)], ms, name: name ?? null };
}

/**
 * Returns what is wrong with an item of a token, or null. Items often come from users, and a `*` would be a pattern to the rest of the
 * dashboard.
 */
export function problemOfTokenItem(item: string): string | null {
  return item.includes('*') ? `expected an exact item without *, got ${quote(item)}` : problemOfItem(item);
}
