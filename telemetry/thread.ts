import { context as contexts } from '@opentelemetry/api';
import type { ThreadContext } from '../shared/tracing/telemetry.js';
import { carrierOf, contextOf } from './propagation.js';

/**
 * Activates the context of an attempt in the thread of an isolated handler: spans that the handler makes there are children of the attempt.
 * They are exported if the handler's module starts an SDK, because a thread shares nothing with the SDK of the main thread.
 */
export const withCarrier: ThreadContext['withCarrier'] = (carrier, work) => contexts.with(contextOf(carrier, undefined), work);

export const activeCarrier: ThreadContext['activeCarrier'] = () => carrierOf(contexts.active(), undefined);
