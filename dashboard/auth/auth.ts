import { Router } from 'express';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { type SettingsInput, resolveSettings } from '../../shared/settings.js';
import { type PrincipalOf, authenticate, authenticateBy, authenticateLocal } from './authenticate.js';
import { type AuthSettings, Authority } from './authority.js';
import { createLimits } from './limits.js';
import { localOnly } from './local-only.js';
import { Sessions } from './sessions.js';
import { signInRoutes } from './sign-in.js';

/**
 * Who may use a dashboard:
 * - settings: those with one of `apiTokens`, or a JWT (`jwtIssuer`, `jwtAudience`, `jwtJwksUrl` or `jwtSecret`);
 * - a function: whom it makes of a request, null for nobody. The app around the dashboard knows its users;
 * - `false`: everybody who gets here, as an admin. The app around the dashboard lets only the right ones through;
 * - `'local'`: everybody on this machine, as an admin, and nobody else.
 */
export type Auth = { readonly [Name in keyof AuthSettings]?: SettingsInput[Name] } | PrincipalOf | false | 'local';

/** The parts of the router that keep others out: `guard` for all routes, `signIn` in front of and `authenticate` for those that are not for everyone. */
export interface AuthParts {
  readonly guard: Router;
  readonly signIn: Router;
  readonly authenticate: Router;
}

/** @throws FleetError `INVALID_SETTINGS` */
export function createAuth(auth: Auth, producer: Producer, logger: Logger): AuthParts {
  const parts = { guard: Router(), signIn: Router(), authenticate: Router() };
  if (auth === false) parts.authenticate.use(authenticateLocal());
  else if (typeof auth === 'function') parts.authenticate.use(authenticateBy(auth));
  else if (auth === 'local') {
    parts.guard.use(localOnly());
    parts.authenticate.use(authenticateLocal());
  } else useSettings(parts, auth, producer, logger);
  return parts;
}

function useSettings(parts: AuthParts, auth: Exclude<Auth, PrincipalOf | false | 'local'>, producer: Producer, logger: Logger): void {
  if (typeof auth !== 'object' || auth === null) {
    throw new FleetError(
      'INVALID_SETTINGS',
      "createDashboard: expected auth: settings with apiTokens or JWTs, a function that tells who makes a request, false if the app around it protects it, or 'local'.",
    );
  }
  const settings = resolveSettings(auth);
  const authority = Authority.of(settings);
  if (authority === null)
    throw new FleetError(
      'INVALID_SETTINGS',
      'createDashboard: auth has neither apiTokens nor the settings of JWTs. Say auth: false if the app around the dashboard protects it.',
    );
  const options = { authority, sessions: new Sessions(producer, authority), limits: createLimits(producer, settings, logger) };
  parts.signIn.use(signInRoutes(options));
  parts.authenticate.use(authenticate(options));
}
