import { usageError } from '../cli-error.js';
import type { GlobalOptions } from '../global-options.js';

/** Where an API is, and what shows who asks. */
export interface ApiAddress {
  /** Without a slash at the end: paths such as `/api/v1/tasks` go behind it. */
  readonly url: string;
  /** Null for none: a dashboard without tokens wants none. */
  readonly token: string | null;
}

/** Their environment variables. A token in an argument is seen by everyone on the machine who lists its processes. */
const API_ENV = 'TASKFLEET_API';
export const TOKEN_ENV = 'TASKFLEET_TOKEN';

const URL_EXPECTED = 'expected an http:// or https:// URL without user, query or fragment, such as https://fleet.example.org';
const TOKEN_EXPECTED = 'expected 1 to 8,192 letters, digits or . _ ~ + / = -';

/**
 * The API that a command is to ask; null if it is to ask Redis. What was given as an option counts before what is in the
 * environment, and there the API before Redis.
 * @throws CliError `USAGE`
 */
export function apiOf(
  { api, token, redis, prefix }: GlobalOptions,
  env: Readonly<Record<string, string | undefined>> = process.env,
): ApiAddress | null {
  if (api !== undefined && redis !== undefined) throw usageError('Expected --api or --redis, one of the two.');
  const url = api ?? (redis === undefined ? env[API_ENV] || undefined : undefined);
  if (url === undefined) {
    if (token !== undefined) throw usageError(`--token is for an API: give --api or ${API_ENV} too.`);
    return null;
  }
  if (prefix !== undefined) throw usageError('--prefix is for --redis: the API has the prefix of its dashboard.');
  const from = api === undefined ? API_ENV : '--api';
  return { url: checkUrl(url, from), token: checkToken(token ?? (env[TOKEN_ENV] || null), token === undefined ? TOKEN_ENV : '--token') };
}

/** For commands that are a part of the fleet. @throws CliError `USAGE` */
export function refuseApi({ api, token }: GlobalOptions, command: string): void {
  if (api !== undefined || token !== undefined)
    throw usageError(`taskfleet ${command} works with Redis itself: --api and --token are not for it.`);
}

/** It may have a password in it, so what came is not repeated. */
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
