import { createHash, randomUUID } from 'node:crypto';
import { FleetError, isFleetError } from '../../shared/errors.js';
import { statusOf } from '../../shared/http-status.js';
import type { Store } from '../../shared/store.js';
import type { Answer } from './route.js';

/** Retention of a key. */
const RETENTION_MS = 24 * 3_600_000;
/** After this time a request's process is presumed dead, and its key may be claimed again. */
const BUSY_MS = 15_000;

/** A request with an idempotency key. */
interface KeyedRequest {
  readonly key: string;
  /** The caller's key, from `callerKeyOf`: keys of different callers are independent. */
  readonly caller: string;
  /** The validated body in {@link canonical} form. */
  readonly body: string;
}

/**
 * Returns the stored response for a repeated request, else runs `work` (draft-ietf-httpapi-idempotency-key-header). A refused request
 * leaves its key unused. If a process dies midway, the key stays open for a repeat, so `work` must be safe to repeat: see {@link
 * idOfKey}.
 * @throws FleetError `IDEMPOTENCY_CONFLICT`, `IDEMPOTENCY_IN_PROGRESS`
 */
export async function withKey(
  { redis, keys, unreadable }: Store,
  { key, caller, body }: KeyedRequest,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const record = keys.idempotency(hash(caller, key));
  const owner = randomUUID();
  const [status, answer = ''] = await redis.claimKey(record, hash(body), owner, BUSY_MS, RETENTION_MS);
  switch (status) {
    case 'answered': {
      const stored = parseAnswer(answer);
      if (stored) return stored;
      // Repeating the work is safe, and yields the earlier outcome.
      unreadable.report({ key: record, id: 'answer', problem: 'expected an answer as JSON' });
      break;
    }
    case 'conflict':
      throw new FleetError('IDEMPOTENCY_CONFLICT', 'This Idempotency-Key was used with another body.', {
        details: { field: 'Idempotency-Key' },
      });
    case 'busy':
      throw new FleetError('IDEMPOTENCY_IN_PROGRESS', 'Another request with this Idempotency-Key is still being answered.', {
        details: { field: 'Idempotency-Key' },
      });
    case 'claimed':
      break;
  }
  let answered: Answer;
  try {
    answered = await work();
  } catch (error) {
    // A refusal leaves the key unused. Otherwise the outcome is unknown: a repeat with this body finds the task by its id.
    const refused = isFleetError(error) && statusOf(error.code) < 500;
    await (refused ? redis.settleKey(record, owner, '') : redis.hdel(record, 'until')).catch(() => undefined);
    throw error;
  }
  // The work is done and must not be reported as failed. If its response cannot be stored, a repeat safely runs it again.
  await redis.settleKey(record, owner, JSON.stringify(answered)).catch(() => undefined);
  return answered;
}

function parseAnswer(text: string): Answer | null {
  try {
    const answer = JSON.parse(text) as Answer | null;
    return Number.isInteger(answer?.status) ? answer : null;
  } catch {
    return null;
  }
}

/** Returns the id of the task that this request creates: the same for each repeat, so that no second task is created. */
export function idOfKey({ key, caller, body }: KeyedRequest): string {
  return `key-${hash(caller, key, body).slice(0, 40)}`;
}

function hash(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** Returns JSON with sorted object keys, so that their order does not matter. */
export function canonical(value: unknown): string {
  try {
    return JSON.stringify(value, (_, part: unknown) => {
      if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
      return Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    });
  } catch (error) {
    // Parsing uses less stack than this replacer.
    throw new FleetError('BAD_REQUEST', 'Bad body: nested too deeply.', { cause: error, details: { field: 'body' } });
  }
}
