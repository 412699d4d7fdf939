import { FleetError } from '../shared/errors.js';
import { problemOfItem, quote } from '../shared/keys.js';
import { asUnavailable } from '../shared/redis/connection-errors.js';
import type { Pools } from '../shared/redis/pools.js';
import type { ScriptedRedis } from '../shared/scripts/define-scripts.js';
import type { Caller } from './calls.js';

/** The usage pool, which records the models in use by session. Shared with open-webui. */
export class Usage {
  readonly #pools: Pools;
  readonly #call: Caller;

  constructor(pools: Pools, call: Caller) {
    this.#pools = pools;
    this.#call = call;
  }

  /**
   * Records that a session is using a model. Repeat it within USAGE_POOL_TIMEOUT to keep the entry. `model` and `session` are 1 to
   * 256 characters of well-formed Unicode without control characters.
   * @throws FleetError `INVALID_INPUT` (naming the field); `MALFORMED_DATA` if the model's entry is not a JSON object, which is left
   *   unchanged; `REDIS_UNAVAILABLE`
   */
  touch(model: string, session: string): Promise<void> {
    return this.#over(async (redis) => {
      check('model', model);
      check('session', session);
      const { keys } = this.#pools;
      const found = await redis.touchUsage(keys.usagePool, model, asciiJson(session), keys.usageChanges);
      if (found === 'wrong-type') throw notAHash(keys.usagePool);
      if (found === 'malformed') {
        throw new FleetError(
          'MALFORMED_DATA',
          `Bad entry ${quote(model)} of ${keys.usagePool}: expected a JSON object. It was not changed.`,
          { details: { key: keys.usagePool, field: model } },
        );
      }
    });
  }

  /**
   * Returns the sorted ids of the models in use, as of the last clean-up.
   * @throws FleetError `MALFORMED_DATA` if the pool is not a hash; `REDIS_UNAVAILABLE`
   */
  inUse(): Promise<string[]> {
    return this.#over(async (redis) => {
      const { keys } = this.#pools;
      const models = await redis.hkeys(keys.usagePool).catch((error: unknown) => {
        throw error instanceof Error && error.message.startsWith('WRONGTYPE') ? notAHash(keys.usagePool) : error;
      });
      return models.toSorted();
    });
  }

  /** Runs `work` with the pools' connection; errors name their Redis. */
  #over<Value>(work: (redis: ScriptedRedis) => Promise<Value>): Promise<Value> {
    return this.#call(async () => {
      const redis = await this.#pools.connection();
      return work(redis).catch((error: unknown) => {
        throw asUnavailable(redis, error);
      });
    });
  }
}

/** Validates a model or session id, by the rules for items. */
function check(field: 'model' | 'session', value: unknown): void {
  const problem = problemOfItem(value);
  if (problem !== null) throw new FleetError('INVALID_INPUT', `Bad ${field}: ${problem}.`, { details: { fields: [field] } });
}

function notAHash(key: string): FleetError {
  return new FleetError('MALFORMED_DATA', `Bad ${key}: expected a hash. It was not changed.`, { details: { key } });
}

/** Encodes a string like Python's json.dumps. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replaceAll(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
