import type { IncomingMessage } from 'node:http';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Store } from '../../shared/store.js';
import { within } from '../../shared/time.js';

/** The service's producer, and the store it is built on. */
export interface FleetAccess {
  readonly producer: Producer;
  readonly store: Store;
}

/** Waits for a reply of Redis. @throws FleetError `REDIS_UNAVAILABLE` after the timeout, in ms */
export function answered<Value>(ms: number, reply: Promise<Value>): Promise<Value> {
  return within(ms, reply, async () => {
    // A process that was busy until now has not read the replies that arrived meanwhile.
    await nextTurn();
    throw new FleetError('REDIS_UNAVAILABLE', `Redis did not answer within ${ms} ms.`);
  });
}

/** More than the second that a producer waits for a reconnect; leaves time to respond within two seconds. */
const LIMIT_MS = 1_500;

/** The PING of each request. */
const pings = new WeakMap<IncomingMessage, Promise<void>>();

/**
 * Waits until Redis has answered a PING, sent once per request. Runs before every call: a producer may wait longer, for its first
 * connection or a hanging Redis, and no single timeout suits all calls, such as the stop of a large item.
 * @throws FleetError `REDIS_UNAVAILABLE` after 1.5 s; `CLOSED`
 */
export function reachRedis(producer: Producer, req: IncomingMessage): Promise<void> {
  const ping = pings.get(req) ?? pingRedis(producer);
  pings.set(req, ping);
  return ping;
}

/** Waits until Redis has answered a PING of no particular request, for shared readings. @throws as {@link reachRedis} */
export function pingRedis(producer: Producer): Promise<void> {
  return answered(LIMIT_MS, producer.ping());
}
