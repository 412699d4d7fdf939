import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';

/** The facts that a server on a loopback port reports. */
export interface ServerFacts {
  readonly pid: number;
  /** The data folder, symbolic links resolved. */
  readonly dir: string;
  /** True while it loads its data from disk, when commands on keys fail. */
  readonly loading: boolean;
}

const ANSWER_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;

/** Probes a port of 127.0.0.1. Null if there is no Redis, it does not answer within 2 s, or it does not report these facts. */
export async function probeServer(port: number): Promise<ServerFacts | null> {
  const redis = new Redis({
    ...{ host: '127.0.0.1', port, protocol: 2, lazyConnect: true, enableReadyCheck: false },
    ...{ retryStrategy: () => null, disableClientInfo: true, connectTimeout: ANSWER_TIMEOUT_MS, commandTimeout: ANSWER_TIMEOUT_MS },
  });
  // connect() rejects with the same error.
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
 * Waits until the server of `dir` answers on a port and has loaded its data.
 * @returns null as soon as `signal` is aborted
 */
export async function waitUntilServing(port: number, dir: string, signal: AbortSignal): Promise<ServerFacts | null> {
  while (!signal.aborted) {
    const facts = await probeServer(port);
    if (facts?.dir === dir && !facts.loading) return facts;
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
  return null;
}
