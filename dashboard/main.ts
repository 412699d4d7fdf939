import { createProducer } from '../producer/index.js';
import type { LoggerFactory } from '../shared/logger.js';
import { type HostProcess, ProcessLife, exitCodeOfSignal } from '../shared/process-life.js';
import { ready } from '../shared/redis/connect.js';
import type { ConnectedSettings } from '../shared/store.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { DashboardServer } from './server.js';

interface RunDashboardOptions {
  readonly host: HostProcess;
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /** Definitions that may be enqueued in addition to the built-in tasks. */
  readonly definitions: readonly AnyDefinition[];
  /** True for a child of `taskfleet up`: takes the next free port if its own is taken; for the rest see ProcessLife. Default false. */
  readonly supervised?: boolean;
}

/**
 * Runs a dashboard until its process is told to shut down, and resolves with the exit code: see ProcessLife. A second signal exits at once.
 * @throws FleetError `INVALID_SETTINGS`; `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
 */
export async function runDashboard({ host, settings, loggers, definitions, supervised = false }: RunDashboardOptions): Promise<number> {
  const logger = loggers('dashboard');
  const life = new ProcessLife({ host, logger, supervised });
  void life.forced.then((signal) => host.exit(exitCodeOfSignal(signal)));
  const producer = createProducer({ ...settings, loggers, listenForStops: true });
  const server = new DashboardServer({ settings, producer, loggers, definitions, nextFreePort: supervised });
  try {
    await server.start();
    await life.announceReady(server.url);
    // Waits while Redis is unavailable, but fails if Redis refuses the database of REDIS_URL.
    const refused = ready(producer.store.redis, Infinity).then(() => life.shutdown);
    const { why, code } = await Promise.race([life.shutdown, refused]);
    logger.info({ reason: why }, 'Shutting down the dashboard');
    await server.stop();
    logger.info('Dashboard stopped');
    return code;
  } finally {
    await server.stop();
    await producer.close();
  }
}
