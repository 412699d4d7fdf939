import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';

/** The URL of an API and the token for it. */
export interface ApiAddress {
  /** The base URL, without a trailing slash. */
  readonly url: string;
  /** Null for a dashboard without authentication. */
  readonly token: string | null;
}

/** The environment variables. Prefer TASKFLEET_TOKEN to `--token`, which every user of the machine can see in the process list. */
const API_ENV = 'TASKFLEET_API';
export const TOKEN_ENV = 'TASKFLEET_TOKEN';

const URL_EXPECTED = 'expected an http:// or https:// URL without user, query or fragment, such as https://fleet.example.org';
const TOKEN_EXPECTED = 'expected 1 to 8,192 letters, digits or . _ ~ + / = -';

/**
 * Returns the API that a command should use, or null for Redis. Options override the environment, where TASKFLEET_API
 * overrides REDIS_URL.
 * @throws CliError `USAGE`
 */
export function apiOf({ env }: Pick<Io, 'env'>, { api, token, redis, prefix }: GlobalOptions): ApiAddress | null {
  if (api !== undefined && redis !== undefined) throw usageError('Pass either --api or --redis, not both.');
  const url = api ?? (redis === undefined ? env[API_ENV] || undefined : undefined);
  if (url === undefined) {
    if (token !== undefined) throw usageError(`--token needs --api or ${API_ENV}.`);
    return null;
  }
  if (prefix !== undefined) throw usageError('--prefix cannot be used with the API, whose prefix is set by the dashboard.');
  const from = api === undefined ? API_ENV : '--api';
  return { url: checkUrl(url, from), token: checkToken(token ?? (env[TOKEN_ENV] || null), token === undefined ? TOKEN_ENV : '--token') };
}

/** Rejects API options for commands that need Redis itself. @throws CliError `USAGE` */
export function refuseApi({ api, token }: GlobalOptions, command: string): void {
  if (api !== undefined || token !== undefined) throw usageError(`taskfleet ${command} needs Redis and does not accept --api or --token.`);
}

/** The value is not repeated in the error: a URL may contain a password. */
function checkUrl(text: string, from: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !/^https?:$/.test(url.protocol) || url.username || url.password || url.search || url.hash)
    throw usageError(`Bad ${from}: ${URL_EXPECTED}.`);
  return (url.origin + url.pathname).replace(/\/+$/, '').replace(/\/api\/v1$/, '');
}

function checkToken(token: string | null, from: string): string | null {
  if (token === null || /^[\w.~+/=-]{1,8192}$/.test(token)) return token;
  throw usageError(`Bad ${from}: ${TOKEN_EXPECTED}.`);
}
