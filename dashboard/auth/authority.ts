import { FleetError } from '../../shared/errors.js';
import type { Settings } from '../../shared/settings/settings.js';
import { type JwtSettings, type JwtVerifier, readJwt } from './jwt.js';
import type { Principal } from './principal.js';
import { type TokenTable, fingerprintOf, readTokens } from './tokens.js';

/** The authentication settings, named as in `createProducer`; other settings may be present. */
export type AuthSettings = JwtSettings & Pick<Settings, 'apiTokens' | 'apiRateLimit' | 'apiFailureLimit'>;

/** The issuer of all tokens in API_TOKENS. */
const TOKENS = 'tokens';

/** The bearer of a token. */
export interface Identity {
  readonly principal: Principal;
  /** Stored with the session and passed to `recall`. */
  readonly origin: string;
  /** In ms since the epoch; null for no expiry. */
  readonly expiresAt: number | null;
}

/** Identifies callers by their token: an entry of API_TOKENS or a JWT. */
export class Authority {
  readonly #tokens: TokenTable;
  readonly #jwt: JwtVerifier | null;

  private constructor(tokens: TokenTable, jwt: JwtVerifier | null) {
    this.#tokens = tokens;
    this.#jwt = jwt;
  }

  /** Returns null if neither tokens nor JWTs are configured. @throws FleetError `INVALID_SETTINGS`, listing every problem */
  static of(settings: AuthSettings): Authority | null {
    const problems: string[] = [];
    const tokens = readTokens(settings.apiTokens, problems);
    const jwt = readJwt(settings, problems);
    if (problems.length > 0)
      throw new FleetError('INVALID_SETTINGS', `Bad settings:\n${problems.map((problem) => `  ${problem}`).join('\n')}`, {
        details: { problems },
      });
    return tokens.size === 0 && jwt === null ? null : new Authority(tokens, jwt);
  }

  /** Returns null for an invalid or expired token. @throws FleetError `FORBIDDEN`, `KEYS_UNAVAILABLE` */
  async identify(token: string): Promise<Identity | null> {
    const entry = this.#tokens.find(token);
    if (entry)
      return {
        principal: { name: entry.name, issuer: TOKENS, role: entry.role, items: entry.items, via: 'token' },
        origin: `token:${fingerprintOf(entry)}`,
        expiresAt: null,
      };
    const claims = await this.#jwt?.verify(token);
    if (!claims) return null;
    const { name, issuer, role, items, expiresAt } = claims;
    return { principal: { name, issuer, role, items, via: 'jwt' }, origin: issuer, expiresAt };
  }

  /** Returns a session's principal with the current rights of its token, or null if the token is no longer configured. */
  recall(origin: string, then: Principal): Principal | null {
    if (origin.startsWith('jwt:')) return origin === this.#jwt?.issuer ? { ...then, issuer: origin, via: 'session' } : null;
    const entry = this.#tokens.recall(origin.slice('token:'.length));
    return entry && { name: entry.name, issuer: TOKENS, role: entry.role, items: entry.items, via: 'session' };
  }
}
