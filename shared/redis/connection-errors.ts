import { FleetError } from '../errors.js';
import { type RedisConnection, describeConnection, isCluster } from './connection.js';
import { adviceFor } from './connection-advice.js';
import { databaseRefusal, isForbidden } from './database.js';
import { isOutOfMemory, isRefusal } from './refusals.js';
import { asReplyError, isReplyError } from './reply-error.js';

/** ioredis' error text for commands unanswered when their connection closes. */
export const CONNECTION_CLOSED_TEXT = 'Connection is closed.';

/** ioredis gives most of these errors neither a class nor a code; `test/shared/redis/connect.test.ts` fails if the texts change. */
const CONNECTION_ERROR_TEXTS = [
  CONNECTION_CLOSED_TEXT,
  "Stream isn't writeable and enableOfflineQueue options is false",
  'Command timed out',
  'Command aborted due to connection close',
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
  if (!(error instanceof Error) || error instanceof FleetError || error.name === 'ReplyError') return false;
  if (error.name === 'MaxRetriesPerRequestError') return true;
  if ('syscall' in error) return true;
  return CONNECTION_ERROR_TEXTS.some((text) => error.message.startsWith(text));
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
  return isRefusal(error) || isClusterReply(redis, error) || (error instanceof Error && NOT_CONNECTED.test(error.message));
}

function outOfMemory(redis: RedisConnection, cause: Error): FleetError {
  const message = `${describeConnection(redis)} is out of memory and refuses writes: raise maxmemory, or shorten the retention of tasks`;
  return new FleetError('REDIS_OUT_OF_MEMORY', message, { cause });
}

/** True for the reply of a cluster node to a connection that is not a cluster client. */
function isClusterReply(redis: RedisConnection, error: unknown): boolean {
  return !isCluster(redis) && error instanceof Error && /^(MOVED|CROSSSLOT|ASK) /.test(error.message);
}

function isTemporary(error: unknown): error is Error {
  return isRefusal(error) && !isOutOfMemory(error);
}

/** Describes an error. If the slots of a cluster could not be read, adds the error of its last node. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (NOT_CONNECTED.test(cause.message)) return 'the connection is lost';
  const text = cause.message || (cause as NodeJS.ErrnoException).code || cause.name;
  const { lastNodeError } = cause as { lastNodeError?: Error | null };
  return lastNodeError ? `${text.replace(/\.$/, '')}: ${reasonOf(lastNodeError)}` : text;
}
