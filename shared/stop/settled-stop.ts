import type { Telemetry } from '../tracing/telemetry.js';
import type { StoppedJob } from './settler.js';

/**
 * Reports a stopped task that no worker ran, or whose worker died. A request settles queued tasks itself, and its own span says so; a dead
 * worker's task may be settled long after the request.
 */
export function reportSettled(telemetry: Telemetry, { id, name, queue, via, stop }: StoppedJob, at: Date): void {
  telemetry.stopSettled({
    ...{ id, name, queue, via, reason: stop.reason, by: stop.by, carrier: stop.carrier },
    attempt: null,
    latencyMs: stop.at === null ? null : Math.max(0, at.getTime() - stop.at.getTime()),
    abortedMs: null,
    byRequest: via === 'queue',
  });
}
