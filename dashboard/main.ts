import { type LoggerFactory, logUncaught } from '../shared/logger.js';
import { ready } from '../shared/redis/connect.js';
import type { ConnectedSettings } from '../shared/store.js';
import { createProducer } from '../producer/index.js';
import { storeOf } from '../producer/store-of.js';
import type { AnyDefinition } from '../shared/task/definition.js';
import { DashboardServer } from './server.js';

export interface RunDashboardOptions {
  readonly settings: ConnectedSettings;
  readonly loggers: LoggerFactory;
  /** What may be enqueued beside the built-in tasks. */
  readonly definitions: readonly AnyDefinition[];
  /**
   * True for a child of `taskfleet up`. Such a dashboard takes the next free port if its own is taken, leaves Ctrl+C to its
   * parent, and ends when its parent is gone. Default false.
   */
  readonly supervised?: boolean;
  /** Called once it listens. */
  readonly onReady?: (url: string) => Promise<void>;
}

/** EX_SOFTWARE of sysexits.h. */
const EXIT_BROKEN = 70;
const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const;

/**
 * The process side of a dashboard: runs one until the process is told to end, and resolves with the exit code that the caller is to
 * end the process with. SIGTERM, SIGINT and SIGHUP: a graceful end, code 0. A second one ends the process at once, code
 * 128+n. An exception that nobody caught: a graceful end, code 70. A rejection that nobody handled is logged.
 * @throws FleetError `INVALID_SETTINGS`; `REDIS_UNAVAILABLE` if Redis does not permit the database of REDIS_URL
 */
export async function runDashboard({ settings, loggers, definitions, supervised = false, onReady }: RunDashboardOptions): Promise<number> {
  const logger = loggers('dashboard');
  const asked = listen(loggers, supervised);
  const producer = createProducer({ ...settings, loggers, listenForStops: true });
  const server = new DashboardServer({ settings, producer, loggers, definitions, nextFreePort: supervised });
  try {
    await server.start();
    await onReady?.(server.url);
    // A Redis that is away is waited for; one that refuses the database of REDIS_URL would be in vain.
    const refused = ready(storeOf(producer).redis, Infinity).then(() => asked);
    const { why, code } = await Promise.race([asked, refused]);
    logger.info({ why }, 'Dashboard is asked to end');
    await server.stop();
    logger.info('Dashboard has ended');
    return code;
  } finally {
    await server.stop();
    await producer.close();
  }
}

/** Resolves when the process is to end: why, and with which code. */
function listen(loggers: LoggerFactory, supervised: boolean): Promise<{ readonly why: string; readonly code: number }> {
  const logger = loggers('dashboard');
  return new Promise((resolve) => {
    let asked = false;
    const onSignal = (signal: keyof typeof SIGNAL_NUMBERS): void => {
      // A terminal that is closed sends it more than once; it is not in a hurry.
      if (signal === 'SIGHUP' && asked) return;
      if (asked) process.exit(128 + SIGNAL_NUMBERS[signal]);
      asked = true;
      resolve({ why: signal, code: 0 });
    };
    process.on('SIGTERM', onSignal);
    for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, supervised ? () => undefined : onSignal);
    if (supervised) process.once('disconnect', () => resolve({ why: 'the process that started it is gone', code: 0 }));
    process.on('uncaughtException', (error) => {
      logUncaught(logger, 'fatal', error, 'An exception that nobody caught: this dashboard ends');
      resolve({ why: 'uncaught exception', code: EXIT_BROKEN });
    });
    process.on('unhandledRejection', (reason) => {
      logUncaught(logger, 'error', reason, 'A rejection that nobody handled');
    });
  });
}
