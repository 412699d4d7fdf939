import { badArgument } from '../../shared/arguments.js';
import { FleetError } from '../../shared/errors.js';
import { isName, problemOfItem, quote } from '../../shared/keys.js';
import { EVERY_KEY } from '../../shared/limiter/limit-id.js';
import type { LimitSettings } from '../../shared/limiter/list/published-limits.js';
import { MAX_PLACES } from '../../shared/limiter/policy.js';

/** Names listed in an error. */
const NAMED = 10;

/** @throws FleetError `INVALID_OPTION` */
export function checkName(name: unknown): string {
  const bare = typeof name === 'string' && name.startsWith('group:') ? name.slice('group:'.length) : name;
  if (isName(bare)) return name as string;
  throw badArgument('INVALID_OPTION', 'name', 'a task name, or group:<name>', name);
}

/** @throws FleetError `INVALID_OPTION` */
export function checkKey(key: unknown): string | null {
  const problem = key === null || key === undefined ? null : problemOfItem(key);
  if (problem !== null) throw new FleetError('INVALID_OPTION', `Bad key: ${problem}.`, { details: { field: 'key' } });
  return (key as string | undefined) ?? null;
}

/** @throws FleetError `INVALID_OPTION` */
export function checkLimit(limit: unknown): number {
  if (Number.isInteger(limit) && (limit as number) >= 0 && (limit as number) <= MAX_PLACES) return limit as number;
  throw badArgument('INVALID_OPTION', 'limit', `a whole number from 0 to ${MAX_PLACES}`, limit);
}

/** Refuses a limit that no definition has: most likely the name is misspelt. @throws FleetError `LIMIT_NOT_FOUND` */
export function requirePublished({ published }: LimitSettings, name: string, key: string | null): void {
  const all = [...published.values()].filter(({ kind }) => kind === 'concurrency');
  const own = all.filter((limit) => limit.name === name);
  if (own.some((limit) => (limit.key === null) === (key === null))) return;
  const known = [...new Set(all.map((limit) => limit.name))].sort();
  const advice =
    own.length === 0
      ? known.length === 0
        ? 'Workers publish the limits of their definitions when they start'
        : `Known: ${known.slice(0, NAMED).join(', ')}`
      : key === null
        ? `It has limits by key: name a key, or ${EVERY_KEY} for every key`
        : 'It has no limit by key: leave out the key';
  const what = key === null ? 'on all its tasks' : 'by key';
  throw new FleetError('LIMIT_NOT_FOUND', `No concurrency limit ${what} is published for ${quote(name)}. ${advice}.`, {
    details: { name, known },
  });
}
