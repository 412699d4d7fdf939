import { createHash } from 'node:crypto';
import { RedisStore } from 'rate-limit-redis';
import type { Producer } from '../../producer/index.js';
import { storeOf } from '../../producer/store-of.js';
import { FleetError } from '../../shared/errors.js';
import { within } from '../http/within.js';

/** Keeps responses within two seconds even if Redis hangs. */
const LIMIT_MS = 250;

/**
 * Counts requests in Redis over the producer's connection. rate-limit-redis loads its scripts once and never retries a failed load;
 * this class resends a script whenever Redis does not know it.
 */
export class LimitStore extends RedisStore {
  constructor(producer: Producer, name: string) {
    const scripts = new Map<string, string>();
    const call = async (command: readonly string[]): Promise<unknown> => {
      const [verb = '', ...args] = command;
      if (verb === 'SCRIPT') return keepScript(scripts, args[1] ?? '');
      const { redis } = storeOf(producer);
      // Waits for a pending connection, so that requests right after the start are counted too.
      if (redis.status !== 'ready') await producer.ping();
      try {
        return await redis.call(verb, ...args);
      } catch (error) {
        const [sha = '', ...rest] = args;
        if (verb !== 'EVALSHA' || !(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return redis.call('EVAL', scripts.get(sha) ?? '', ...rest);
      }
    };
    super({ prefix: '', sendCommand: async (...command) => (await within(LIMIT_MS, call(command), late)) as string });
    this.#prefix = () => storeOf(producer).keys.limits(name);
  }

  readonly #prefix: () => string;

  override prefixKey(key: string): string {
    return `${this.#prefix()}:${key}`;
  }
}

function keepScript(scripts: Map<string, string>, script: string): string {
  const sha = createHash('sha1').update(script).digest('hex');
  scripts.set(sha, script);
  return sha;
}

function late(): FleetError {
  return new FleetError('REDIS_UNAVAILABLE', `Redis did not answer within ${LIMIT_MS} ms.`);
}
