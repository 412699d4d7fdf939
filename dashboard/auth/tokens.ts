import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { problemOfItem, quote } from '../../shared/keys.js';
import { ROLES, type Role } from './principal.js';

/** A token that may be used, known by its hash only. */
export interface TokenEntry {
  readonly name: string;
  readonly role: Role;
  readonly items: readonly string[] | null;
  readonly hash: Buffer;
}

/** Shorter than a token, so that none that was put in its place gets into the log as a name. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._@-]{0,39}$/;
const SHA256_HEX = /^[0-9a-f]{64}$/i;

/**
 * A new token, which is shown once and kept nowhere. It has 256 random bits: nobody finds it by guessing, so its hash needs
 * none of the slowness that hashes of passwords need.
 */
export function newToken(): string {
  return `tf_${randomBytes(32).toString('base64url')}`;
}

/** The entry of API_TOKENS for a token. */
export function entryOf(token: string, { name, role, items }: Pick<TokenEntry, 'name' | 'role' | 'items'>): string {
  const patterns = items === null ? '' : `:${items.join(',')}`;
  return `${name}:${role}:${hashOf(token).toString('hex')}${patterns}`;
}

/** What is wrong with the parts of an entry beside its hash; empty if nothing is. */
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
  if (!NAME.test(name)) problems.push('expected as its name up to 40 letters, digits or . _ @ -, beginning with a letter or digit');
  if (!isRole(role))
    problems.push(
      `expected one of the roles ${ROLES.join(', ')}, got ${/^[A-Za-z]{1,20}$/.test(role) ? quote(role) : 'something else (not shown)'}`,
    );
  for (const pattern of items ?? []) {
    const problem = /[,;]/.test(pattern) ? 'expected none of the separators , and ;' : problemOfItem(pattern);
    if (problem !== null) problems.push(`a bad item pattern: ${problem}`);
  }
  return problems;
}

/** The tokens of API_TOKENS. */
export class TokenTable {
  readonly #entries: readonly TokenEntry[];

  constructor(entries: readonly TokenEntry[]) {
    this.#entries = entries;
  }

  get size(): number {
    return this.#entries.length;
  }

  /** The entry of a token, or null. It takes as long whichever entry it is, and whether there is one. */
  find(token: string): TokenEntry | null {
    const hash = hashOf(token);
    let found: TokenEntry | null = null;
    for (const entry of this.#entries) if (timingSafeEqual(entry.hash, hash)) found = entry;
    return found;
  }

  /** The entry with this fingerprint, if it is still configured. */
  recall(fingerprint: string): TokenEntry | null {
    return this.#entries.find((entry) => fingerprintOf(entry) === fingerprint) ?? null;
  }
}

/** What a session remembers of the token that it came from. */
export function fingerprintOf({ hash }: TokenEntry): string {
  return createHash('sha256').update('session').update(hash).digest('hex').slice(0, 32);
}

/**
 * Reads the entries of API_TOKENS, `name:role:sha256-hex[:item-pattern,…]`. What is wrong goes to `problems`, with the
 * entry's name and never with what could be its hash: somebody may have put the token itself there.
 */
export function readTokens(entries: readonly string[], problems: string[]): TokenTable {
  const read = entries.map((entry, at) => readEntry(entry, at, problems)).filter((entry) => entry !== null);
  const seen = { name: new Set<string>(), hash: new Set<string>() };
  for (const { name, hash } of read) {
    if (seen.name.has(name)) problems.push(`API_TOKENS: two entries have the name ${name}`);
    if (seen.hash.has(hash.toString('hex'))) problems.push(`API_TOKENS: the entry ${name} has the hash of another one`);
    seen.name.add(name);
    seen.hash.add(hash.toString('hex'));
  }
  return new TokenTable(read);
}

function readEntry(entry: string, at: number, problems: string[]): TokenEntry | null {
  const [, name = '', role = '', hash = '', patterns] = /^([^:]*):([^:]*):([^:]*)(?::(.*))?$/s.exec(entry) ?? [];
  const items = patterns === undefined ? null : patterns.split(',').map((pattern) => pattern.trim());
  // Without its colons, or with something odd for a name, the text could be the token.
  const which = NAME.test(name) ? `the entry ${name}` : `entry ${at + 1}`;
  const found =
    name === '' && role === ''
      ? ['expected name:role:sha256-hex, or with :item-pattern,… behind it']
      : problemsOfEntry({ name, role, items });
  if ((name !== '' || role !== '') && !SHA256_HEX.test(hash))
    found.push('expected as its third part the SHA-256 of a token, 64 hexadecimal digits (not shown)');
  for (const problem of found) problems.push(`API_TOKENS: ${which}: ${problem}`);
  return found.length === 0 ? { name, role: role as Role, items, hash: Buffer.from(hash, 'hex') } : null;
}

function isRole(role: string): role is Role {
  return (ROLES as readonly string[]).includes(role);
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}
