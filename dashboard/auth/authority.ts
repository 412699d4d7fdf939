import { type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, createRemoteJWKSet, errors, jwtVerify } from 'jose';
import { FleetError } from '../../shared/errors.js';
import { problemOfItem } from '../../shared/keys.js';
import type { Settings } from '../../shared/settings/settings.js';
import { type Principal, ROLES, type Role } from './principal.js';
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
  private constructor(
    private readonly tokens: TokenTable,
    private readonly jwt: JwtVerifier | null,
  ) {}

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
    const entry = this.tokens.find(token);
    if (entry)
      return {
        principal: { name: entry.name, issuer: TOKENS, role: entry.role, items: entry.items, via: 'token' },
        origin: `token:${fingerprintOf(entry)}`,
        expiresAt: null,
      };
    const claims = await this.jwt?.verify(token);
    if (!claims) return null;
    const { name, issuer, role, items, expiresAt } = claims;
    return { principal: { name, issuer, role, items, via: 'jwt' }, origin: issuer, expiresAt };
  }

  /** Returns a session's principal with the current rights of its token, or null if the token is no longer configured. */
  recall(origin: string, then: Principal): Principal | null {
    if (origin.startsWith('jwt:')) return origin === this.jwt?.issuer ? { ...then, issuer: origin, via: 'session' } : null;
    const entry = this.tokens.recall(origin.slice('token:'.length));
    return entry && { name: entry.name, issuer: TOKENS, role: entry.role, items: entry.items, via: 'session' };
  }
}

export type JwtSettings = Pick<
  Settings,
  'jwtIssuer' | 'jwtAudience' | 'jwtJwksUrl' | 'jwtSecret' | 'jwtAlgorithms' | 'jwtRoleClaim' | 'jwtItemsClaim'
>;

/** The claims of a verified JWT. */
interface JwtClaims {
  readonly name: string;
  /** `jwt:` followed by the `iss` claim. */
  readonly issuer: string;
  readonly role: Role;
  readonly items: readonly string[] | null;
  /** In ms since the epoch. */
  readonly expiresAt: number;
}

const ASYMMETRIC = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'];
const SYMMETRIC = ['HS256', 'HS384', 'HS512'];
const CLOCK_TOLERANCE_S = 5;
const JWKS_TIMEOUT_MS = 1_500;
/** How long a failed key fetch is cached, so that bad requests cannot make the dashboard flood the issuer. */
const JWKS_PAUSE_MS = 2_000;
const SHAPE = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const MAX_NAME_LENGTH = 128;

/** Verifies JWTs of one issuer. */
export class JwtVerifier {
  /** `jwt:` followed by the `iss` claim. */
  readonly issuer: string;
  readonly #keys: JWTVerifyGetKey | Uint8Array;
  readonly #options: JWTVerifyOptions;
  readonly #roleClaim: string;
  readonly #itemsClaim: string;

  constructor({ jwtIssuer, jwtAudience, jwtJwksUrl, jwtSecret, jwtAlgorithms, jwtRoleClaim, jwtItemsClaim }: JwtSettings) {
    this.issuer = `jwt:${jwtIssuer}`;
    this.#keys = jwtSecret === null ? fetchedKeys(new URL(jwtJwksUrl as string)) : new TextEncoder().encode(jwtSecret);
    const algorithms = jwtAlgorithms.length > 0 ? [...jwtAlgorithms] : jwtSecret === null ? ['RS256', 'ES256', 'EdDSA'] : ['HS256'];
    this.#options = {
      issuer: jwtIssuer as string,
      audience: jwtAudience as string,
      algorithms,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_S,
    };
    this.#roleClaim = jwtRoleClaim;
    this.#itemsClaim = jwtItemsClaim;
  }

  /**
   * Returns the claims of a JWT, or null if it is malformed or untrusted.
   * @throws FleetError `FORBIDDEN` for a valid JWT with an unknown role or bad item patterns, with `name` and `issuer` in its details;
   *   `KEYS_UNAVAILABLE`
   */
  async verify(token: string): Promise<JwtClaims | null> {
    if (!SHAPE.test(token)) return null;
    const payload = await this.#payloadOf(token);
    return payload && this.#claimsOf(payload);
  }

  async #payloadOf(token: string): Promise<JWTPayload | null> {
    try {
      const keys = this.#keys;
      const { payload } =
        keys instanceof Uint8Array ? await jwtVerify(token, keys, this.#options) : await jwtVerify(token, keys, this.#options);
      return payload;
    } catch (error) {
      if (error instanceof FleetError) throw error;
      // Any other error means that the token failed verification, such as a key that does not fit its algorithm.
      return null;
    }
  }

  #claimsOf(payload: JWTPayload): JwtClaims | null {
    const { sub: name, exp } = payload;
    if (typeof name !== 'string' || name.length > MAX_NAME_LENGTH || problemOfItem(name) !== null || exp === undefined) return null;
    const claim = (claimName: string): unknown => (Object.hasOwn(payload, claimName) ? payload[claimName] : undefined);
    const { issuer } = this;
    const role = ROLES.find((each) => each === claim(this.#roleClaim));
    const items = itemsOf(claim(this.#itemsClaim));
    if (!role)
      throw new FleetError('FORBIDDEN', `Missing or unknown role in the JWT: expected one of ${ROLES.join(', ')}.`, {
        details: { name, issuer },
      });
    if (items === undefined)
      throw new FleetError('FORBIDDEN', 'Bad item patterns in the JWT: expected a list of strings.', {
        details: { name, issuer },
      });
    return { name, issuer, role, items, expiresAt: exp * 1_000 };
  }
}

/** Returns the verifier, or null if no JWTs are configured. Adds setting errors to `problems`. */
export function readJwt(settings: JwtSettings, problems: string[]): JwtVerifier | null {
  const { jwtIssuer, jwtAudience, jwtJwksUrl, jwtSecret, jwtAlgorithms } = settings;
  if (jwtIssuer === null && jwtAudience === null && jwtJwksUrl === null && jwtSecret === null) return null;
  const before = problems.length;
  if (jwtIssuer === null) problems.push('API_JWT_ISSUER: expected an issuer, required by the other JWT settings; got nothing');
  if (jwtAudience === null) problems.push('API_JWT_AUDIENCE: expected an audience, required by the other JWT settings; got nothing');
  if ((jwtJwksUrl === null) === (jwtSecret === null)) {
    problems.push(`API_JWT_JWKS_URL, API_JWT_SECRET: expected exactly one of them, got ${jwtSecret === null ? 'neither' : 'both'}`);
  }
  const allowed = jwtSecret === null ? ASYMMETRIC : SYMMETRIC;
  const keySetting = jwtSecret === null ? 'API_JWT_JWKS_URL' : 'API_JWT_SECRET';
  for (const name of jwtAlgorithms) {
    if (!allowed.includes(name))
      problems.push(`API_JWT_ALGORITHMS: expected some of ${allowed.join(', ')} with ${keySetting}, got ${JSON.stringify(name)}`);
  }
  return problems.length === before ? new JwtVerifier(settings) : null;
}

/** Returns the issuer's keys, cached for ten minutes; an unknown key id triggers a refetch, at most every 30 s. */
function fetchedKeys(url: URL): JWTVerifyGetKey {
  const remote = createRemoteJWKSet(url, { timeoutDuration: JWKS_TIMEOUT_MS, cooldownDuration: 30_000, cacheMaxAge: 600_000 });
  let failed: { readonly at: number; readonly error: FleetError } | null = null;
  return async (header, token) => {
    if (failed !== null && performance.now() - failed.at < JWKS_PAUSE_MS) throw failed.error;
    try {
      return await remote(header, token);
    } catch (error) {
      if (isAboutTheToken(error)) throw error;
      failed = {
        at: performance.now(),
        error: new FleetError('KEYS_UNAVAILABLE', "Cannot fetch the JWT issuer's keys.", { cause: error }),
      };
      throw failed.error;
    }
  };
}

function isAboutTheToken(error: unknown): boolean {
  return [errors.JWKSNoMatchingKey, errors.JWKSMultipleMatchingKeys, errors.JOSENotSupported].some((kind) => error instanceof kind);
}

/** Returns the claim's patterns; null (all items) without the claim; undefined for an invalid claim. */
function itemsOf(claim: unknown): readonly string[] | null | undefined {
  if (claim === undefined) return null;
  const patterns: unknown[] = Array.isArray(claim) ? claim : [claim];
  return patterns.every((pattern) => problemOfItem(pattern) === null) ? (patterns as string[]) : undefined;
}
