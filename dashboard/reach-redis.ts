import type { Producer } from '../producer/index.js';
import { FleetError } from '../shared/errors.js';
import { within } from './within.js';

/** Longer than the second for which a producer waits for a reconnect, and with room to answer within two seconds. */
const LIMIT_MS = 1_500;

/**
 * Resolves when Redis has answered a PING. Asked before every call: a producer may wait for longer, for its first
 * connection or for a Redis that hangs, and the call itself, such as the stop of a large item, has no limit that would suit it.
 * @throws FleetError `REDIS_UNAVAILABLE` after 1.5 s at the latest; `CLOSED`
 */
export function reachRedis(producer: Producer): Promise<void> {
  return within(LIMIT_MS, producer.ping(), () => new FleetError('REDIS_UNAVAILABLE', `Redis did not answer within ${LIMIT_MS} ms.`));
}
