import { createHash } from 'node:crypto';
import type { ServerResponse } from 'node:http';
import type { RequestHandler, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import { RedisStore } from 'rate-limit-redis';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/log/logger.js';
import { ready } from '../../shared/redis/connect.js';
import { type FleetAccess, answered } from '../http/reach-redis.js';
import { addressKey, addressOf } from '../http/request.js';
import { callerKeyOf, findPrincipal } from './principal.js';

/** Keeps responses within two seconds even if Redis hangs. */
const LIMIT_MS = 250;

/**
 * Counts requests in Redis over the producer's connection. rate-limit-redis loads its scripts once and never retries a failed load;
 * this class resends a script whenever Redis does not know it.
 */
class LimitStore extends RedisStore {
  constructor({ store: { redis, keys } }: FleetAccess, name: string) {
    const scripts = new Map<string, string>();
    const call = async (command: readonly string[]): Promise<unknown> => {
      const [verb = '', ...args] = command;
      if (verb === 'SCRIPT') return keepScript(scripts, args[1] ?? '');
      // Waits for a pending connection, so that requests right after the start are counted too.
      await ready(redis, LIMIT_MS);
      try {
        return await redis.call(verb, ...args);
      } catch (error) {
        const [sha = '', ...rest] = args;
        if (verb !== 'EVALSHA' || !(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
        return redis.call('EVAL', scripts.get(sha) ?? '', ...rest);
      }
    };
    super({ prefix: '', sendCommand: async (...command) => (await answered(LIMIT_MS, call(command))) as string });
    this.#prefix = keys.limits(name);
  }

  readonly #prefix: string;

  override prefixKey(key: string): string {
    return `${this.#prefix}:${key}`;
  }
}

function keepScript(scripts: Map<string, string>, script: string): string {
  const sha = createHash('sha1').update(script).digest('hex');
  scripts.set(sha, script);
  return sha;
}

export interface Limits {
  /** Counts requests by principal. */
  readonly requests: RequestHandler;
  /** Counts failed authentications by address. */
  readonly failures: RequestHandler;
  /** Counts unsuccessful sign-ins by address; runs before the sign-in. */
  readonly signIns: RequestHandler;
}

interface LimitSettings {
  readonly apiRateLimit: number;
  readonly apiFailureLimit: number;
}

const MINUTE_MS = 60_000;
const FAILURES_MS = 5 * MINUTE_MS;

/**
 * Creates the rate limits, shared by all replicas through Redis. While Redis is unavailable every request passes; routes that need
 * Redis answer 503 anyway.
 */
export function createLimits(fleet: FleetAccess, { apiRateLimit, apiFailureLimit }: LimitSettings, logger: Logger): Limits {
  const limiter = (
    name: string,
    windowMs: number,
    limit: number,
    keyOf: (res: Response) => string,
    skipSuccessfulRequests = false,
  ): RequestHandler =>
    withAppend(
      rateLimit({
        windowMs,
        limit,
        skipSuccessfulRequests,
        identifier: name,
        keyGenerator: (_req, res) => keyOf(res),
        store: new LimitStore(fleet, name),
        standardHeaders: 'draft-8',
        legacyHeaders: false,
        passOnStoreError: true,
        // The validations expect the settings of an Express app, which may be absent.
        validate: false,
        logger: {
          error: (...args) =>
            logger.debug({ error: args.find((arg) => arg instanceof Error) }, 'Could not count a request; letting it pass'),
          warn: () => undefined,
        },
        handler: (_req, res, next) => {
          if (!res.hasHeader('Retry-After')) res.setHeader('Retry-After', Math.ceil(windowMs / 1_000));
          next(new FleetError('TOO_MANY_REQUESTS', `More than ${limit} requests in ${windowMs / MINUTE_MS} min.`));
        },
      }),
    );
  const byCaller = (res: Response): string => {
    const principal = findPrincipal(res);
    return principal ? `caller:${callerKeyOf(principal)}` : byAddress(res);
  };
  const byAddress = (res: Response): string => `address:${addressKey(addressOf(res.req))}`;
  return {
    requests: limiter('requests', MINUTE_MS, apiRateLimit, byCaller),
    failures: limiter('failures', FAILURES_MS, apiFailureLimit, byAddress),
    signIns: limiter('sign-ins', FAILURES_MS, apiFailureLimit, byAddress, true),
  };
}

/** Adds the method of Express's responses that express-rate-limit calls: without an Express app, the responses are Node's. */
function withAppend(limiter: RequestHandler): RequestHandler {
  return (req, res, next) => {
    const append = (name: string, value: string): ServerResponse => res.appendHeader(name, value);
    if ((res as Partial<Response>).append === undefined) Object.assign(res, { append });
    return limiter(req, res, next);
  };
}
