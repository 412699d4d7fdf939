import { type LoggerFactory, logUncaught } from '../shared/logger.js';
import { ready } from '../shared/redis/connect.js';
import type { ConnectedSettings } from '../shared/store.js';
import { createProducer } from '../producer/index.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { DashboardServer } from './server.js';

interface RunDashboardOptions {
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /** Definitions that may be enqueued in addition to the built-in tasks. */
  readonly definitions: readonly AnyDefinition[];
  /**
   * True for a child of `taskfleet up`: it takes the next free port if its own is taken, leaves Ctrl+C to its parent, and exits when
   * its parent does. Default false.
   */
  readonly supervised?: boolean;
  /** Called once the server listens. */
  readonly onReady?: (url: string) => Promise<void>;
}

/** EX_SOFTWARE of sysexits.h. */
const EXIT_SOFTWARE = 70;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * Runs a dashboard until the process is told to stop; resolves with the exit code. SIGTERM, SIGINT and SIGHUP shut down gracefully with
 * code 0; a second signal exits at once with 128+n. An uncaught exception shuts down gracefully with code 70; an unhandled rejection is
 * logged.
 * @throws FleetError `INVALID_SETTINGS`; `REDIS_UNAVAILABLE` if Redis refuses the database of REDIS_URL
 */
export async function runDashboard({ settings, loggers, definitions, supervised = false, onReady }: RunDashboardOptions): Promise<number> {
  const logger = loggers('dashboard');
  const asked = awaitShutdown(loggers, supervised);
  const producer = createProducer({ ...settings, loggers, listenForStops: true });
  const server = new DashboardServer({ settings, producer, loggers, definitions, nextFreePort: supervised });
  try {
    await server.start();
    await onReady?.(server.url);
    // Waits while Redis is unavailable, but fails if Redis refuses the database of REDIS_URL.
    const refused = ready(producer.store.redis, Infinity).then(() => asked);
    const { reason, code } = await Promise.race([asked, refused]);
    logger.info({ reason }, 'Shutting down the dashboard');
    await server.stop();
    logger.info('Dashboard stopped');
    return code;
  } finally {
    await server.stop();
    await producer.close();
  }
}

/** Resolves when the process should stop, with the reason and the exit code. */
function awaitShutdown(loggers: LoggerFactory, supervised: boolean): Promise<{ readonly reason: string; readonly code: number }> {
  const logger = loggers('dashboard');
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: keyof typeof SIGNAL_NUMBERS): void => {
      // A closing terminal sends SIGHUP repeatedly; only the first one counts.
      if (signal === 'SIGHUP' && asked) return;
      if (asked) process.exit(128 + SIGNAL_NUMBERS[signal]);
      asked = true;
      resolve({ reason: signal, code: 0 });
    };
    process.on('SIGTERM', onSignal);
    for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, supervised ? () => undefined : onSignal);
    if (supervised) process.once('disconnect', () => resolve({ reason: 'the process that started it is gone', code: 0 }));
    process.on('uncaughtException', (error) => {
      logUncaught(logger, 'fatal', error, 'Uncaught exception; shutting down');
      resolve({ reason: 'uncaught exception', code: EXIT_SOFTWARE });
    });
    process.on('unhandledRejection', (reason) => {
      logUncaught(logger, 'error', reason, 'Unhandled rejection');
    });
  });
}
