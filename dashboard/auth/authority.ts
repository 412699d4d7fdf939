import { FleetError } from '../../shared/errors.js';
import type { Settings } from '../../shared/settings.js';
import { type JwtSettings, type JwtVerifier, readJwt } from './jwt.js';
import type { Principal } from './principal.js';
import { type TokenTable, fingerprintOf, readTokens } from './tokens.js';

/** How callers are known, by name as in `createProducer`; the rest of the settings may be there too. */
export type AuthSettings = JwtSettings & Pick<Settings, 'apiTokens' | 'apiRateLimit' | 'apiFailureLimit'>;

/** The issuer of everybody in API_TOKENS. */
const TOKENS = 'tokens';

/** Who a token stands for, and for how long. */
export interface Identity {
  readonly principal: Principal;
  /** What a session remembers, to ask again with `recall`. */
  readonly origin: string;
  /** In ms; null for no end. */
  readonly expiresAt: number | null;
}

/** Knows callers by their tokens: those of API_TOKENS, and JWTs. */
export class Authority {
  readonly #tokens: TokenTable;
  readonly #jwt: JwtVerifier | null;

  private constructor(tokens: TokenTable, jwt: JwtVerifier | null) {
    this.#tokens = tokens;
    this.#jwt = jwt;
  }

  /** Null if neither tokens nor JWTs are configured. @throws FleetError `INVALID_SETTINGS`, with every problem */
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

  /** Null for a token that is not, or no longer, good. @throws FleetError `FORBIDDEN`, `KEYS_UNAVAILABLE` */
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

  /** Who a session stands for now: with the rights that its token has by now; null if that is configured no more. */
  recall(origin: string, then: Principal): Principal | null {
    if (origin.startsWith('jwt:')) return origin === this.#jwt?.issuer ? { ...then, issuer: origin, via: 'session' } : null;
    const entry = this.#tokens.recall(origin.slice('token:'.length));
    return entry && { name: entry.name, issuer: TOKENS, role: entry.role, items: entry.items, via: 'session' };
  }
}
