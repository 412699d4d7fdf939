import { z } from 'zod';
import { type Setting, httpUrl, integer, list, optionalText, matchingText } from './setting-kinds.js';

/** Checked by the dashboard, which alone has a use for them: a worker with the same environment runs all the same. */
const apiTokens: Setting<readonly string[]> = {
  ...list(
    'API_TOKENS',
    /;/,
    'entries name:role:sha256-hex[:item-pattern,…] separated by semicolons',
    'Who may use the dashboard: `name:role:sha256[:item-pattern,…]` separated by `;`. `taskfleet token create` makes one.',
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
    'Where the dashboard listens. Other than loopback only with `API_TOKENS` or JWTs.',
    /^[A-Za-z0-9.:_-]{1,255}$/,
  ),
  apiPort: integer('API_PORT', 8420, 0, 65_535, "The dashboard's port; 0 for any free one."),
  apiTokens,
  jwtIssuer: optionalText('API_JWT_ISSUER', 'an issuer', 'The `iss` of the JWTs that the dashboard takes.'),
  jwtAudience: optionalText('API_JWT_AUDIENCE', 'an audience', 'The `aud` of the JWTs that the dashboard takes.'),
  jwtJwksUrl: optionalText('API_JWT_JWKS_URL', 'an http(s) URL', "Where the issuer's public keys are.", httpUrl),
  jwtSecret: {
    ...optionalText(
      'API_JWT_SECRET',
      'a secret of at least 32 bytes',
      'The secret of JWTs with HS256, instead of `API_JWT_JWKS_URL`; at least 32 bytes.',
      z.string().refine((secret) => Buffer.byteLength(secret) >= 32),
    ),
    secret: true,
  },
  jwtAlgorithms: list(
    'API_JWT_ALGORITHMS',
    /,/,
    'names of algorithms separated by commas',
    'The algorithms of JWTs; by default RS256, ES256 and EdDSA with keys of a URL, HS256 with a secret.',
    z.string(),
  ),
  jwtRoleClaim: matchingText(
    'API_JWT_ROLE_CLAIM',
    'role',
    'the name of a claim',
    'The claim with the role: viewer, submitter, operator or admin.',
    /^[\x21-\x7e]{1,128}$/,
  ),
  jwtItemsClaim: matchingText(
    'API_JWT_ITEMS_CLAIM',
    'items',
    'the name of a claim',
    'The claim with the item patterns, a list; without it all items.',
    /^[\x21-\x7e]{1,128}$/,
  ),
  apiTrustProxy: list(
    'API_TRUST_PROXY',
    /,/,
    'a number of proxies, or addresses and networks separated by commas',
    'Proxies whose `X-Forwarded-*` headers count: how many there are, or their addresses.',
    proxy,
  ),
  apiBodyLimit: integer('API_BODY_LIMIT', 1_048_576, 1_024, 67_108_864, 'The longest body of a request to the dashboard, in bytes.'),
  apiRateLimit: integer('API_RATE_LIMIT', 1_200, 1, 10_000_000, 'Requests to the dashboard that each caller may make in a minute.'),
  apiConnectionLimit: integer(
    'API_CONNECTION_LIMIT',
    256,
    1,
    4_096,
    'Connections to the dashboard that each address may have at once; a proxy of `API_TRUST_PROXY` may have more.',
  ),
  apiFailureLimit: integer(
    'API_FAILURE_LIMIT',
    10,
    1,
    1_000_000,
    'Failed sign-ins, and failed tokens, that each address may have in five minutes.',
  ),
} as const;
