import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

/** What a server on a loopback port says of itself. */
export interface ServerFacts {
  readonly pid: number;
  /** Its data folder, symbolic links resolved. */
  readonly dir: string;
  /** True while it reads its data from disk; commands on keys then fail. */
  readonly loading: boolean;
}

const ANSWER_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;

/** Asks what serves a port of 127.0.0.1. Null if nothing does, if it does not answer within 2 s, or if it is not a Redis that tells. */
export async function probeServer(port: number): Promise<ServerFacts | null> {
  const redis = new Redis({
    ...{ host: '127.0.0.1', port, protocol: 2, lazyConnect: true, enableReadyCheck: false },
    ...{ retryStrategy: () => null, disableClientInfo: true, connectTimeout: ANSWER_TIMEOUT_MS, commandTimeout: ANSWER_TIMEOUT_MS },
  });
  // The error arrives at the caller of connect() as well.
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    const [info, config] = await Promise.all([redis.info(), redis.config('GET', 'dir')]);
    const dir = config[1];
    const pid = Number(/^process_id:(\d+)/m.exec(info)?.[1]);
    return dir === undefined || !pid ? null : { pid, dir, loading: /^loading:1/m.test(info) };
  } catch {
    return null;
  } finally {
    redis.disconnect();
  }
}

/**
 * Waits until the server of `dir` answers on a port and has read its data.
 * @returns null as soon as `signal` is aborted: its process has ended, or this takes too long.
 */
export async function waitUntilServing(port: number, dir: string, signal: AbortSignal): Promise<ServerFacts | null> {
  while (!signal.aborted) {
    const facts = await probeServer(port);
    if (facts?.dir === dir && !facts.loading) return facts;
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
  return null;
}
