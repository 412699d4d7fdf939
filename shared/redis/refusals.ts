/**
 * What Redis says when it does not carry out a command now and may do so later: it is a replica, without its master, its
 * replicas or a part of the cluster, loads its data, cannot write to its disk, has no memory left, is in a script. UNBLOCKED
 * ends what waits when it becomes a replica.
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

/** Whether Redis refused a command, and did nothing of it. A script is refused at its first write. */
export function isRefusal(error: unknown): error is Error {
  return isReply(error) && REFUSAL.test(error.message);
}

/** True for a refusal for want of memory: it passes with no failover, as the others may. */
export function isOutOfMemory(error: unknown): error is Error {
  return isReply(error) && OUT_OF_MEMORY.test(error.message);
}

/**
 * Matches the text of a refusal with one of these codes. Up to Redis 6.2 what a command in a script was refused with comes
 * at the end of an error of the script.
 */
export function textRefusedWith(...codes: readonly RefusalCode[]): RegExp {
  return new RegExp(`^(?:ERR (?:Error running script .*: -)?)?(?:${codes.join('|')})\\b`);
}

function isReply(error: unknown): error is Error {
  return error instanceof Error && error.name === 'ReplyError';
}
