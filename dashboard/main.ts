import { createProducer } from '../producer/index.js';
import type { LoggerFactory } from '../shared/log/logger.js';
import { type HostProcess, ProcessLife, exitCodeOfSignal } from '../shared/process/process-life.js';
import { ready } from '../shared/redis/connect.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import type { Telemetry } from '../shared/tracing/telemetry.js';
import { timeToFlush } from '../shared/tracing/time-to-flush.js';
import { DashboardServer } from './server.js';

interface RunDashboardOptions {
  readonly host: HostProcess;
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /** Definitions that may be enqueued in addition to the built-in tasks. */
  readonly definitions: readonly AnyDefinition[];
  /** True for a child of `taskfleet up`: takes the next free port if its own is taken; for the rest see ProcessLife. Default false. */
  readonly supervised?: boolean;
  /** Default: none. */
  readonly telemetry?: Telemetry | undefined;
  /** Exports the telemetry that is left, for at most this time in ms. */
  readonly flush?: (limitMs: number) => Promise<void>;
}

/**
 * Runs a dashboard until its process is told to shut down, and resolves with the exit code: see ProcessLife. A second signal exits at once.
 * @throws FleetError `INVALID_SETTINGS`; `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
 */
export async function runDashboard(options: RunDashboardOptions): Promise<number> {
  const { host, settings, loggers, definitions, supervised = false, telemetry, flush } = options;
  const logger = loggers('dashboard');
  const life = new ProcessLife({ host, logger, supervised });
  void life.forced.then((signal) => host.exit(exitCodeOfSignal(signal)));
  const producer = createProducer({ ...settings, loggers, telemetry, listenForStops: true });
  const server = new DashboardServer({ settings, producer, loggers, definitions, nextFreePort: supervised });
  try {
    await server.start();
    await life.announceReady(server.url);
    // Waits while Redis is unavailable, but fails if Redis refuses the database of REDIS_URL.
    const refused = ready(producer.store.redis, Infinity).then(() => life.shutdown);
    const { why, code } = await Promise.race([life.shutdown, refused]);
    logger.info({ reason: why }, 'Shutting down the dashboard');
    const since = performance.now();
    await server.stop();
    await flush?.(timeToFlush(settings, performance.now() - since));
    logger.info('Dashboard stopped');
    return code;
  } finally {
    await server.stop();
    await producer.close();
  }
}
