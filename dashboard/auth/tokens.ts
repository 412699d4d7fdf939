import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { problemOfItem, quote } from '../../shared/keys.js';
import { ROLES, type Role } from './principal.js';

/** A configured token, stored as its hash. */
interface TokenEntry {
  readonly name: string;
  readonly role: Role;
  readonly items: readonly string[] | null;
  readonly hash: Buffer;
}

/** Shorter than a token, so that a token misplaced in the name field is rejected and not logged. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,39}$/;
const SHA256_HEX = /^[0-9a-f]{64}$/i;

/**
 * Returns a new token, shown once and stored nowhere. With 256 random bits it cannot be guessed, so its hash need not be slow, unlike a
 * password hash.
 */
export function newToken(): string {
  return `tf_${randomBytes(32).toString('base64url')}`;
}

/** Returns the API_TOKENS entry for a token. */
export function entryOf(token: string, { name, role, items }: Pick<TokenEntry, 'name' | 'role' | 'items'>): string {
  const patterns = items === null ? '' : `:${items.join(',')}`;
  return `${name}:${role}:${hashOf(token).toString('hex')}${patterns}`;
}

/** Returns the problems of an entry's name, role and item patterns; empty if valid. */
export function problemsOfEntry({
  name,
  role,
  items,
}: {
  readonly name: string;
  readonly role: string;
  readonly items: readonly string[] | null;
}): string[] {
  const problems: string[] = [];
  if (!NAME.test(name)) problems.push('expected a name of up to 40 letters, digits or . _ @ -, starting with a letter or digit');
  if (!isRole(role))
    problems.push(
      `expected one of the roles ${ROLES.join(', ')}, got ${/^[A-Za-z]{1,20}$/.test(role) ? quote(role) : 'something else (not shown)'}`,
    );
  for (const pattern of items ?? []) {
    const problem = /[,;]/.test(pattern) ? 'expected no separators , or ;' : problemOfItem(pattern);
    if (problem !== null) problems.push(`bad item pattern: ${problem}`);
  }
  return problems;
}

/** The tokens of API_TOKENS. */
export class TokenTable {
  constructor(private readonly entries: readonly TokenEntry[]) {}

  get size(): number {
    return this.entries.length;
  }

  /** Returns the entry of a token, or null, in constant time. */
  find(token: string): TokenEntry | null {
    const hash = hashOf(token);
    let found: TokenEntry | null = null;
    for (const entry of this.entries) if (timingSafeEqual(entry.hash, hash)) found = entry;
    return found;
  }

  /** Returns the entry with this fingerprint, or null if it is no longer configured. */
  recall(fingerprint: string): TokenEntry | null {
    return this.entries.find((entry) => fingerprintOf(entry) === fingerprint) ?? null;
  }
}

/** Returns the fingerprint by which a session refers to its token. */
export function fingerprintOf({ hash }: TokenEntry): string {
  return createHash('sha256').update('session').update(hash).digest('hex').slice(0, 32);
}

/**
 * Parses the entries of API_TOKENS, `name:role:sha256-hex[:item-pattern,…]`. Errors are added to `problems` with the entry's name,
 * never with its hash field, which may hold a misplaced token.
 */
export function readTokens(entries: readonly string[], problems: string[]): TokenTable {
  const read = entries.map((entry, at) => readEntry(entry, at, problems)).filter((entry) => entry !== null);
  const seen = { name: new Set<string>(), hash: new Set<string>() };
  for (const { name, hash } of read) {
    if (seen.name.has(name)) problems.push(`API_TOKENS: two entries have the name ${name}`);
    if (seen.hash.has(hash.toString('hex'))) problems.push(`API_TOKENS: entry ${name} has the same hash as another entry`);
    seen.name.add(name);
    seen.hash.add(hash.toString('hex'));
  }
  return new TokenTable(read);
}

function readEntry(entry: string, at: number, problems: string[]): TokenEntry | null {
  const [, name = '', role = '', hash = '', patterns] = /^([^:]*):([^:]*):([^:]*)(?::(.*))?$/s.exec(entry) ?? [];
  const items = patterns === undefined ? null : patterns.split(',').map((pattern) => pattern.trim());
  // Without colons or with a malformed name, the text could be the token itself.
  const which = NAME.test(name) ? `entry ${name}` : `entry ${at + 1}`;
  const found =
    name === '' && role === ''
      ? ['expected name:role:sha256-hex, optionally followed by :item-pattern,…']
      : problemsOfEntry({ name, role, items });
  if ((name !== '' || role !== '') && !SHA256_HEX.test(hash))
    found.push('expected the SHA-256 of a token as the third part, 64 hexadecimal digits (not shown)');
  for (const problem of found) problems.push(`API_TOKENS: ${which}: ${problem}`);
  return found.length === 0 ? { name, role: role as Role, items, hash: Buffer.from(hash, 'hex') } : null;
}

function isRole(role: string): role is Role {
  return (ROLES as readonly string[]).includes(role);
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
