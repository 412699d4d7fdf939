import { FleetError } from '../errors.js';
import { type RedisConnection, describeConnection, isCluster } from './connection.js';
import { adviceFor } from './connection-advice.js';
import { databaseRefusal, isForbidden } from './database.js';
import { isOutOfMemory, isRefusal } from './refusals.js';
import { asReplyError, isReplyError } from './reply-error.js';

/** What ioredis says to commands without an answer when their connection is closed. */
export const CONNECTION_CLOSED_TEXT = 'Connection is closed.';

/** ioredis gives most of these neither a class nor a code; `test/shared/connect.test.ts` holds the texts to its version. */
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

/** Of a connection that does not wait: there was none at that moment. */
const NOT_CONNECTED = /^(Stream isn't writeable|Cluster isn't ready) and enableOfflineQueue options is false/;

/** True for a command that got no answer. */
export function isConnectionError(error: unknown): error is Error {
  if (!(error instanceof Error) || error instanceof FleetError || error.name === 'ReplyError') return false;
  if (error.name === 'MaxRetriesPerRequestError') return true;
  if ('syscall' in error) return true;
  return CONNECTION_ERROR_TEXTS.some((text) => error.message.startsWith(text));
}

/** True for what may pass by itself: no answer, or that of a server that cannot take commands now. */
export function isUnavailability(error: unknown): error is Error {
  return isConnectionError(error) || isNotNow(error);
}

/**
 * What is thrown to callers when Redis cannot be reached, or cannot take commands: `REDIS_UNAVAILABLE`; `INVALID_SETTINGS`
 * if it does not have the database of the URL.
 */
export function unavailable(redis: RedisConnection, cause: unknown): FleetError {
  const refusal = databaseRefusal(redis);
  const why = reasonOf(refusal ?? cause);
  const advice = adviceFor(redis, why);
  const what =
    refusal !== null || isForeign(redis, cause) ? 'cannot be used so' : isNotNow(cause) ? 'cannot take commands now' : 'cannot be reached';
  const code = refusal !== null && !isForbidden(refusal) ? 'INVALID_SETTINGS' : 'REDIS_UNAVAILABLE';
  return new FleetError(
    code,
    `${describeConnection(redis)} ${what}: ${why}${advice === null ? '' : `${/[.!?]$/.test(why) ? '' : '.'} ${advice}`}`,
    { cause },
  );
}

/**
 * Turns what may pass by itself into `REDIS_UNAVAILABLE`, a refusal for want of memory into `REDIS_OUT_OF_MEMORY`, and what
 * Redis answered for good into `REDIS_WRONG_TYPE` or `REDIS_ERROR`; every other error passes as it is.
 */
export function asUnavailable(redis: RedisConnection, error: unknown): unknown {
  if (isOutOfMemory(error)) return outOfMemory(redis, error);
  if (isUnavailability(error) || isForeign(redis, error)) return unavailable(redis, error);
  return isReplyError(error) ? asReplyError(redis, error) : error;
}

/** True for a command that Redis certainly did not carry out: it was never sent, or was refused before it began. */
export function wasNotDone(redis: RedisConnection, error: unknown): boolean {
  return isRefusal(error) || isForeign(redis, error) || (error instanceof Error && NOT_CONNECTED.test(error.message));
}

function outOfMemory(redis: RedisConnection, cause: Error): FleetError {
  const message = `${describeConnection(redis)} has no memory left and takes nothing new: raise its maxmemory, or keep less of ended tasks (retention)`;
  return new FleetError('REDIS_OUT_OF_MEMORY', message, { cause });
}

/** What a node of a cluster answers to one who does not know that it is one. */
function isForeign(redis: RedisConnection, error: unknown): boolean {
  return !isCluster(redis) && error instanceof Error && /^(MOVED|CROSSSLOT|ASK) /.test(error.message);
}

function isNotNow(error: unknown): error is Error {
  return isRefusal(error) && !isOutOfMemory(error);
}

/** In words. Of a cluster that could not be asked for its slots: what its last node said. */
export function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (NOT_CONNECTED.test(cause.message)) return 'the connection is lost';
  const text = cause.message || (cause as NodeJS.ErrnoException).code || cause.name;
  const { lastNodeError } = cause as { lastNodeError?: Error | null };
  return lastNodeError ? `${text.replace(/\.$/, '')}: ${reasonOf(lastNodeError)}` : text;
}
