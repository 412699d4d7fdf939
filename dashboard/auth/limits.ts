import type { RequestHandler, Response } from 'express';
import { rateLimit } from 'express-rate-limit';
import type { Producer } from '../../producer/index.js';
import { FleetError } from '../../shared/errors.js';
import type { Logger } from '../../shared/logger.js';
import { addressKey, addressOf } from '../client-address.js';
import { LimitStore } from './limit-store.js';
import { callerKeyOf, findPrincipal } from './principal.js';

export interface Limits {
  /** Counts a request of a principal. */
  readonly requests: RequestHandler;
  /** Counts each time it is called, by address: for what has failed. */
  readonly failures: RequestHandler;
  /** Counts what does not end well, by address: to be asked before a sign-in is looked at. */
  readonly signIns: RequestHandler;
}

export interface LimitSettings {
  readonly apiRateLimit: number;
  readonly apiFailureLimit: number;
}

const MINUTE_MS = 60_000;
const FAILURES_MS = 5 * MINUTE_MS;

/** The limits of callers, counted in Redis for all replicas together. While Redis is away they let everything pass: what needs Redis answers 503 by itself. */
export function createLimits(producer: Producer, { apiRateLimit, apiFailureLimit }: LimitSettings, logger: Logger): Limits {
  const limiter = (
    name: string,
    windowMs: number,
    limit: number,
    keyOf: (res: Response) => string,
    skipSuccessfulRequests = false,
  ): RequestHandler =>
    rateLimit({
      windowMs,
      limit,
      skipSuccessfulRequests,
      identifier: name,
      keyGenerator: (_req, res) => keyOf(res),
      store: new LimitStore(producer, name),
      standardHeaders: 'draft-8',
      legacyHeaders: false,
      passOnStoreError: true,
      // It would look at settings of an Express app, and there may be none around.
      validate: false,
      logger: {
        error: (...args) => logger.debug({ error: args.find((arg) => arg instanceof Error) }, 'A request is not counted'),
        warn: () => undefined,
      },
      handler: (_req, res, next) => {
        if (!res.hasHeader('Retry-After')) res.setHeader('Retry-After', Math.ceil(windowMs / 1_000));
        next(new FleetError('TOO_MANY_REQUESTS', `More than ${limit} requests in ${windowMs / MINUTE_MS} min.`));
      },
    });
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
