/**
 * Error codes with which Redis refuses a command that it may run later: it is a replica, lacks its master, replicas or a part of
 * the cluster, is loading, cannot write to disk, is out of memory, or runs a script. UNBLOCKED ends blocking reads when a master
 * becomes a replica.
 */
const CODES = [
  'READONLY',
  'UNBLOCKED',
  'MASTERDOWN',
  'NOREPLICAS',
  'CLUSTERDOWN',
  'TRYAGAIN',
  'LOADING',
  'MISCONF',
  'OOM',
  'BUSY',
] as const;

export type RefusalCode = (typeof CODES)[number];

const REFUSAL = textRefusedWith(...CODES);
const OUT_OF_MEMORY = textRefusedWith('OOM');

/** True if Redis refused the command without any effect. A script is refused at its first write. */
export function isRefusal(error: unknown): error is Error {
  return isReply(error) && REFUSAL.test(error.message);
}

/** True if Redis is out of memory: unlike other refusals, a failover does not end it. */
export function isOutOfMemory(error: unknown): error is Error {
  return isReply(error) && OUT_OF_MEMORY.test(error.message);
}

/** Matches refusals with one of these codes. Up to Redis 6.2, a script's error has its command's refusal at the end. */
export function textRefusedWith(...codes: readonly RefusalCode[]): RegExp {
  return new RegExp(`^(?:ERR (?:Error running script .*: -)?)?(?:${codes.join('|')})\\b`);
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}
