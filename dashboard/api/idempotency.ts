import { createHash, randomUUID } from 'node:crypto';
import { FleetError, isFleetError } from '../../shared/errors.js';
import type { Store } from '../../shared/store.js';
import { STATUS_OF } from '../problem.js';
import type { Answer } from './route.js';

/** As long as a key is remembered. */
const KEPT_MS = 24 * 3_600_000;
/** A request that takes longer has died with its process; its key may be taken up again. */
const BUSY_MS = 15_000;

/** A request that its sender may repeat. */
export interface KeyedRequest {
  readonly key: string;
  /** Of `callerKeyOf`: the key of another caller is another key. */
  readonly caller: string;
  /** As it was checked, of {@link canonical}. */
  readonly body: string;
}

/**
 * Answers a request as it was answered before, else with `work` (draft-ietf-httpapi-idempotency-key-header). A request
 * that is refused leaves its key unused. A process that dies in the middle leaves the key open for a repeat, which must do
 * the work in a way that is harmless to do twice: see {@link idOfKey}.
 * @throws FleetError `IDEMPOTENCY_CONFLICT`, `IDEMPOTENCY_IN_PROGRESS`
 */
export async function withKey(
  { redis, keys, unreadable }: Store,
  { key, caller, body }: KeyedRequest,
  work: () => Promise<Answer>,
): Promise<Answer> {
  const record = keys.idempotency(hash(caller, key));
  const owner = randomUUID();
  const [what, answer = ''] = await redis.claimKey(record, hash(body), owner, BUSY_MS, KEPT_MS);
  switch (what) {
    case 'answered': {
      const kept = parseAnswer(answer);
      if (kept) return kept;
      // Doing the work again is harmless, and finds out what was done.
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
    // Refused: the key was not used. Else nobody knows what was done: a repeat with this body finds out by the task's id.
    const refused = isFleetError(error) && (STATUS_OF[error.code] ?? 500) < 500;
    await (refused ? redis.settleKey(record, owner, '') : redis.hdel(record, 'until')).catch(() => undefined);
    throw error;
  }
  // The work is done, and must not be reported as failed: a repeat of what could not be kept does it again, harmlessly.
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

/** The id of the task that this request makes: the same for each repeat, so that none makes a second one. */
export function idOfKey({ key, caller, body }: KeyedRequest): string {
  return `key-${hash(caller, key, body).slice(0, 40)}`;
}

function hash(...parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** JSON with the fields of each object in order, so that their order does not count. */
export function canonical(value: unknown): string {
  try {
    return JSON.stringify(value, (_, part: unknown) => {
      if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
      return Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)));
    });
  } catch (error) {
    // What was parsed with less of a stack.
    throw new FleetError('BAD_REQUEST', 'Bad body: it is nested too deeply.', { cause: error, details: { field: 'body' } });
  }
}
