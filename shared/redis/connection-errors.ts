import type { Redis } from 'ioredis';
import { FleetError, isError } from '../errors.js';
import { type RedisConnection, describeConnection, isCluster } from './connection.js';
import { asReplyError, databaseRefusal, isForbidden, isOutOfMemory, isRefusal, isReplyError, textRefusedWith } from './reply-errors.js';

/** ioredis' error text for commands unanswered when their connection closes. */
export const CONNECTION_CLOSED_TEXT = 'Connection is closed.';

/** ioredis gives most of these errors neither a class nor a code; `test/shared/redis/connect.test.ts` fails if the texts change. */
const CONNECTION_ERROR_TEXTS = [
  CONNECTION_CLOSED_TEXT,
  "Stream isn't writeable and enableOfflineQueue options is false",
  'Command timed out',
  'Command aborted due to connection close',
  'Reached the max retries per request limit',
  'Socket timeout',
  'connect ETIMEDOUT',
  'All sentinels are unreachable',
  "Cluster isn't ready and enableOfflineQueue options is false",
  'Cluster is ended',
  'Failed to refresh slots cache',
  'None of startup nodes is available',
  'Too many Cluster redirections',
];

/** The error of a fail-fast connection that is not connected. */
const NOT_CONNECTED = /^(Stream isn't writeable|Cluster isn't ready) and enableOfflineQueue options is false/;

/** True for the error of a command that got no answer. */
export function isConnectionError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof FleetError || isReplyError(error)) return false;
  const { message } = error as Error;
  return 'syscall' in error || CONNECTION_ERROR_TEXTS.some((text) => message.startsWith(text));
}

/** True for an error that may resolve itself: no answer, or a server that cannot run commands now. */
export function isUnavailability(error: unknown): error is Error {
  return isConnectionError(error) || isTemporary(error);
}

/**
 * Makes the error for callers when Redis cannot be reached or cannot run commands: `REDIS_UNAVAILABLE`, or `INVALID_SETTINGS`
 * if it does not have the URL's database.
 */
export function unavailable(redis: RedisConnection, cause: unknown): FleetError {
  const refusal = databaseRefusal(redis);
  const why = reasonOf(refusal ?? cause);
  const advice = adviceFor(redis, why);
  const what =
    refusal !== null || isClusterReply(redis, cause)
      ? 'cannot be used with these settings'
      : isTemporary(cause)
        ? 'cannot run commands now'
        : 'cannot be reached';
  const code = refusal !== null && !isForbidden(refusal) ? 'INVALID_SETTINGS' : 'REDIS_UNAVAILABLE';
  return new FleetError(
    code,
    `${describeConnection(redis)} ${what}: ${why}${advice === null ? '' : `${/[.!?]$/.test(why) ? '' : '.'} ${advice}`}`,
    { cause },
  );
}

/**
 * Turns an error that may resolve itself into `REDIS_UNAVAILABLE`, OOM into `REDIS_OUT_OF_MEMORY`, and any other error reply
 * into `REDIS_WRONG_TYPE` or `REDIS_ERROR`. Returns other errors unchanged.
 */
export function asUnavailable(redis: RedisConnection, error: unknown): unknown {
  if (isOutOfMemory(error)) return outOfMemory(redis, error);
  if (isUnavailability(error) || isClusterReply(redis, error)) return unavailable(redis, error);
  return isReplyError(error) ? asReplyError(redis, error) : error;
}

/** True if Redis certainly did not run the command: it was never sent, or was refused. */
export function wasNotDone(redis: RedisConnection, error: unknown): boolean {
  return isRefusal(error) || isClusterReply(redis, error) || (isError(error) && NOT_CONNECTED.test(error.message));
}

function outOfMemory(redis: RedisConnection, cause: Error): FleetError {
  const message = `${describeConnection(redis)} is out of memory and refuses writes: raise maxmemory, or shorten the retention of tasks`;
  return new FleetError('REDIS_OUT_OF_MEMORY', message, { cause });
}

/** True for the reply of a cluster node to a connection that is not a cluster client. */
function isClusterReply(redis: RedisConnection, error: unknown): boolean {
  return !isCluster(redis) && isError(error) && /^(MOVED|CROSSSLOT|ASK) /.test(error.message);
}

function isTemporary(error: unknown): error is Error {
  return isRefusal(error) && !isOutOfMemory(error);
}

/** Describes an error. If the slots of a cluster could not be read, adds the error of its last node. */
export function reasonOf(cause: unknown): string {
  if (!isError(cause)) return String(cause);
  if (NOT_CONNECTED.test(cause.message)) return 'the connection is lost';
  const text = cause.message || (cause as NodeJS.ErrnoException).code || cause.name;
  const { lastNodeError } = cause as { lastNodeError?: Error | null };
  return lastNodeError ? `${text.replace(/\.$/, '')}: ${reasonOf(lastNodeError)}` : text;
}

type Kind = 'standalone' | 'sentinel' | 'cluster';

/** Advice by error text, for errors that do not resolve themselves. */
const ADVICE: readonly { readonly says: RegExp; readonly kind?: Kind; readonly advice: string }[] = [
  {
    says: /^All sentinels are unreachable.*\b(NOAUTH|WRONGPASS|ERR AUTH|ERR invalid password)\b/,
    advice:
      'The sentinels require a password, or another one: set REDIS_SENTINEL_PASSWORD, and REDIS_SENTINEL_USERNAME unless the ' +
      'user is `default`.',
  },
  {
    says: /\b(WRONGPASS|ERR invalid password)\b/,
    advice: 'Correct the user name and password in REDIS_URL: redis://user:password@host:port, with special characters as %40.',
  },
  { says: /\bNOAUTH\b/, advice: 'Add the user name and password to REDIS_URL: redis://user:password@host:port.' },
  {
    says: /\bDENIED\b/,
    advice:
      'Redis is in protected mode: it has no password and serves its own machine only. Set a password (requirepass, or ACL users), ' +
      'or set protected-mode no in a trusted network.',
  },
  {
    says: /^NOPERM\b.*'select'/,
    advice: 'The user of REDIS_URL may not select the database: run ACL SETUSER with +select for that user, or use database 0.',
  },
  {
    says: /DB index is out of range|invalid DB index|Only 0th database/i,
    advice: 'Redis does not have the database in REDIS_URL: use a lower number, or raise `databases` in its configuration.',
  },
  {
    says: /SELECT is not allowed in cluster/,
    advice: 'It is a node of a Redis Cluster, which has only database 0: set REDIS_CLUSTER=true, and remove the number from REDIS_URL.',
  },
  { says: /cluster support disabled/, advice: 'It is not a cluster: unset REDIS_CLUSTER.' },
  { says: /^(MOVED|CROSSSLOT|ASK)\b/, kind: 'standalone', advice: 'It is a node of a Redis Cluster: set REDIS_CLUSTER=true.' },
  {
    says: textRefusedWith('READONLY'),
    kind: 'standalone',
    advice: 'It is a replica: set REDIS_URL to its master, or list the sentinels in REDIS_SENTINEL_HOSTS.',
  },
  {
    says: /CERTIFICATE_REQUIRED|alert certificate required|alert handshake failure/i,
    advice: 'It requires a client certificate: set REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE.',
  },
  {
    says: /alert unknown ca\b/i,
    advice: 'It does not trust the CA of REDIS_TLS_CERT_FILE: use a certificate signed by the CA in its tls-ca-cert-file.',
  },
  {
    says: /self-signed certificate|unable to verify|unable to get (local )?issuer|certificate signature failure/i,
    advice: "The CA of Redis' certificate is not trusted: set REDIS_TLS_CA_FILE to the CA's certificate.",
  },
  { says: /certificate has expired/i, advice: "Renew Redis' certificate." },
  {
    says: /does not match certificate's altnames/i,
    advice: 'Use a host name that the certificate of Redis covers, or issue one for this name.',
  },
  {
    says: /wrong version number|packet length too long/i,
    advice: 'The port does not speak TLS: begin REDIS_URL with redis://, or use the TLS port.',
  },
];

const UNKNOWN_SERVICE = 'The sentinels answer, but monitor no master of that name: set the host in REDIS_URL to the name that they use.';
/** Connections whose sentinels do not know the master. ioredis reports the same error when the sentinels name a dead master. */
const ofUnknownService = new WeakSet<RedisConnection>();

/** Tracks whether the sentinels of a connection know the master. */
export function watchSentinels(redis: Redis): void {
  redis.on('sentinelError', ({ message }: Error) => {
    if (message.endsWith('invalid reply: null')) ofUnknownService.add(redis);
    else ofUnknownService.delete(redis);
  });
  redis.on('connect', () => ofUnknownService.delete(redis));
}

/** Returns how to fix an error of the connection; null if it may resolve itself. */
export function adviceFor(redis: RedisConnection, text: string): string | null {
  if (text.startsWith('All sentinels are unreachable') && ofUnknownService.has(redis)) return UNKNOWN_SERVICE;
  const kind = kindOf(redis);
  return ADVICE.find(({ says, kind: only = kind }) => only === kind && says.test(text))?.advice ?? null;
}

function kindOf(redis: RedisConnection): Kind {
  // A connection with our own Connector follows a cluster slot.
  if (isCluster(redis) || redis.options.Connector) return 'cluster';
  return redis.options.sentinels ? 'sentinel' : 'standalone';
}
