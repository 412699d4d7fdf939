import type { IncomingMessage } from 'node:http';
import { type RequestHandler, Router } from 'express';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { type SettingsInput, resolveSettings } from '../../shared/settings/settings.js';
import type { FleetAccess } from '../http/reach-redis.js';
import { isLoopback } from '../http/request.js';
import { type PrincipalOf, authenticate, authenticateBy, authenticateLocal } from './authenticate.js';
import { type AuthSettings, Authority } from './authority.js';
import { authenticateItemTokens } from './item-tokens.js';
import { createLimits } from './limits.js';
import { Sessions } from './session/sessions.js';
import { signInRoutes } from './session/sign-in.js';

/**
 * Who may use a dashboard:
 * - settings: callers with one of `apiTokens` or a JWT (`jwtIssuer`, `jwtAudience`, `jwtJwksUrl` or `jwtSecret`);
 * - a function: returns the principal of a request, or null to refuse it, for an app that authenticates its users;
 * - `false`: every caller, as an admin, for an app that restricts access to the dashboard;
 * - `'local'`: every caller on this machine, as an admin; remote callers are refused.
 */
export type Auth = { readonly [Name in keyof AuthSettings]?: SettingsInput[Name] } | PrincipalOf | false | 'local';

/** The access-control routers: `guard` protects all routes, `signIn` precedes and `authenticate` protects the private ones. */
interface AuthParts {
  readonly guard: Router;
  readonly signIn: Router;
  readonly authenticate: Router;
}

/** @throws FleetError `INVALID_SETTINGS` */
export function createAuth(auth: Auth, fleet: FleetAccess, logger: Logger): AuthParts {
  const parts = { guard: Router(), signIn: Router(), authenticate: Router() };
  if (auth === 'local') parts.guard.use(localOnly());
  if (auth === false || auth === 'local' || typeof auth === 'function') {
    const limits = createLimits(fleet, resolveSettings({}), logger);
    const others = typeof auth === 'function' ? authenticateBy(auth) : authenticateLocal();
    parts.authenticate.use(authenticateItemTokens({ fleet, authority: null, limits }, others));
  } else useSettings(parts, auth, fleet, logger);
  return parts;
}

function useSettings(parts: AuthParts, auth: Exclude<Auth, PrincipalOf | false | 'local'>, fleet: FleetAccess, logger: Logger): void {
  if (typeof auth !== 'object' || auth === null) {
    throw new FleetError(
      'INVALID_SETTINGS',
      'createDashboard: expected auth to be settings with apiTokens or JWTs, a function that returns the principal of a request, ' +
        "false (the surrounding app protects the dashboard) or 'local'.",
    );
  }
  const settings = resolveSettings(auth);
  const authority = Authority.of(settings);
  if (authority === null)
    throw new FleetError(
      'INVALID_SETTINGS',
      'createDashboard: expected apiTokens or JWT settings in auth. Pass auth: false if the surrounding app protects the dashboard.',
    );
  const options = { authority, sessions: new Sessions(fleet, authority), limits: createLimits(fleet, settings, logger) };
  parts.signIn.use(signInRoutes(options));
  parts.authenticate.use(authenticateItemTokens({ ...options, fleet }, authenticate(options)));
}

const LOCAL_HOST = /^(?:localhost|[a-z0-9-]+\.localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/i;
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-prefix', 'x-real-ip', 'via'];

/**
 * Passes only requests from this machine, for a dashboard without tokens. The Host header guards against DNS rebinding; requests
 * forwarded by a proxy may come from anywhere.
 * @throws FleetError `FORBIDDEN`
 */
function localOnly(): RequestHandler {
  return (req, _res, next) => {
    const problem = problemOf(req);
    next(
      problem === null
        ? undefined
        : new FleetError(
            'FORBIDDEN',
            `No tokens are configured, so only local requests are accepted, but ${problem}. Set API_TOKENS to allow remote access.`,
          ),
    );
  };
}

function problemOf(req: IncomingMessage): string | null {
  if (!isLoopback(req.socket.remoteAddress)) return 'this request comes from a remote address';
  if (!LOCAL_HOST.test(req.headers.host ?? '')) return 'this request names a non-local host';
  return FORWARDED.some((name) => name in req.headers) ? 'this request came through a proxy' : null;
}
