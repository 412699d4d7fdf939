import type { Keys } from '../../keys.js';
import type { ScriptedRedis } from '../../scripts/define-scripts.js';
import type { KeyStatus, StoredKey } from '../standing.js';

/** Describes keys of limits, in the order of their ids. */
export async function describeKeys(redis: ScriptedRedis, keys: Keys, ids: readonly string[]): Promise<KeyStatus[]> {
  if (ids.length === 0) return [];
  return (await redis.describeKeys(keys.limiter('tasks'), keys.limiter(''), ...ids)).map(statusOf);
}

function statusOf([id, kind, limit, set, running, waiting, since, until]: StoredKey): KeyStatus {
  return {
    ...{ id, kind: kind === '' ? 'place' : kind, limit: numberOf(limit), set: numberOf(set), running, waiting },
    ...{ waitingSince: timeOf(since), until: timeOf(until) },
  };
}

function numberOf(text: string): number | null {
  return text === '' || !Number.isFinite(Number(text)) ? null : Number(text);
}

/** Returns null for '0', no time. */
function timeOf(ms: string): Date | null {
  return Number(ms) > 0 ? new Date(Number(ms)) : null;
}
