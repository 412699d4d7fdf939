import { z } from 'zod';
import { type Setting, httpUrl, integer, list, optionalText, matchingText } from './kinds.js';
import { basePath, origins } from './web-address.js';

/** Only the dashboard checks the tokens: a worker that shares its environment starts even if they are bad. */
const apiTokens: Setting<readonly string[]> = {
  ...list(
    'API_TOKENS',
    /;/,
    'entries name:role:sha256-hex[:item-pattern,…] separated by semicolons',
    'Tokens that the dashboard accepts. `taskfleet token create` prints a token and its entry.',
    z.string(),
  ),
  secret: true,
};

const proxy = z.union([z.string().regex(/^\d{1,2}$|^(?:loopback|linklocal|uniquelocal)$/), z.ipv4(), z.ipv6(), z.cidrv4(), z.cidrv6()]);

/** The settings of the dashboard. */
export const API_SETTINGS = {
  apiHost: matchingText(
    'API_HOST',
    '127.0.0.1',
    'an address or a host name',
    'Address the dashboard listens on. Any address but loopback requires `API_TOKENS` or JWTs.',
    /^[A-Za-z0-9.:_-]{1,255}$/,
  ),
  apiPort: integer('API_PORT', 8420, 0, 65_535, "The dashboard's port; 0 picks a free port."),
  apiTokens,
  jwtIssuer: optionalText('API_JWT_ISSUER', 'an issuer', 'The `iss` that the dashboard requires of JWTs.'),
  jwtAudience: optionalText('API_JWT_AUDIENCE', 'an audience', 'The `aud` that the dashboard requires of JWTs.'),
  jwtJwksUrl: optionalText('API_JWT_JWKS_URL', 'an http(s) URL', "URL of the issuer's public keys.", httpUrl),
  jwtSecret: {
    ...optionalText(
      'API_JWT_SECRET',
      'a secret of at least 32 bytes',
      'Secret for HS256 JWTs, instead of `API_JWT_JWKS_URL`.',
      z.string().refine((secret) => Buffer.byteLength(secret) >= 32),
    ),
    secret: true,
  },
  jwtAlgorithms: list(
    'API_JWT_ALGORITHMS',
    /,/,
    'names of algorithms separated by commas',
    'Accepted JWT algorithms. Default: RS256, ES256 and EdDSA with `API_JWT_JWKS_URL`, HS256 with `API_JWT_SECRET`.',
    z.string(),
  ),
  jwtRoleClaim: matchingText(
    'API_JWT_ROLE_CLAIM',
    'role',
    'the name of a claim',
    'JWT claim that holds the role: viewer, submitter, operator or admin.',
    /^[\x21-\x7e]{1,128}$/,
  ),
  jwtItemsClaim: matchingText(
    'API_JWT_ITEMS_CLAIM',
    'items',
    'the name of a claim',
    'JWT claim that holds the list of item patterns; a JWT without it may see all items.',
    /^[\x21-\x7e]{1,128}$/,
  ),
  apiTrustProxy: list(
    'API_TRUST_PROXY',
    /,/,
    'a number of proxies, or addresses and networks separated by commas',
    'Proxies whose `X-Forwarded-*` headers are trusted: their number, or their addresses.',
    proxy,
  ),
  apiBasePath: basePath(
    'API_BASE_PATH',
    'Path at which a proxy that strips it serves the dashboard, such as `/fleet`. Default: the `X-Forwarded-Prefix` of a trusted proxy.',
  ),
  apiCorsOrigins: origins(
    'API_CORS_ORIGINS',
    'Web origins, separated by commas, whose pages may use `/api/v1`, such as `https://app.example`. Default: none but its own.',
  ),
  apiBodyLimit: integer('API_BODY_LIMIT', 1_048_576, 1_024, 67_108_864, 'Longest request body that the dashboard accepts.'),
  apiRateLimit: integer('API_RATE_LIMIT', 1_200, 1, 10_000_000, 'Requests per minute that the dashboard accepts from each caller.'),
  apiConnectionLimit: integer(
    'API_CONNECTION_LIMIT',
    256,
    1,
    4_096,
    'Concurrent connections that the dashboard accepts from each address; a proxy in `API_TRUST_PROXY` may have more.',
  ),
  apiFailureLimit: integer(
    'API_FAILURE_LIMIT',
    10,
    1,
    1_000_000,
    'Failed sign-ins and bad tokens that the dashboard accepts from each address in five minutes.',
  ),
} as const;
