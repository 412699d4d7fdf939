/**
 * The third process of the demo: what a service is to the fleet. All that it knows of the fleet is REDIS_URL and the key
 * prefix. Exit code 0 if everything ended as it should, 1 if not, 130 if it was interrupted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Producer, createProducer } from '../../producer/index.js';
import { messageOf } from '../../shared/errors.js';
import { createKeys } from '../../shared/keys.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { connect, ready } from '../../shared/redis/connect.js';
import { type Settings, loadSettings } from '../../shared/settings.js';
import { EXIT } from '../exit-codes.js';
import { makeBatch } from './batch.js';
import { createPaint } from './columns.js';
import { LiveScreen } from './live-screen.js';
import { PlainScreen } from './plain-screen.js';
import type { Screen } from './screen.js';
import { runShow } from './show.js';
import type { TaskRow } from './task-row.js';
import { problemsOf, summaryOf, tableOf } from './verdict.js';

/** Should something hang, this is said and the rest is shown. */
const LONGEST_SHOW_MS = 35_000;
/** An entry goes right after the end of its task. */
const REGISTRY_WAIT_MS = 3_000;
const REGISTRY_POLL_MS = 50;
/** A Redis that is away must not keep this process. */
const CLOSE_MS = 1_000;

class Interrupted extends Error {}

const interrupted = new AbortController();
const interrupt = (): void => interrupted.abort(new Interrupted());
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
// The demo's main process is gone, or nobody reads.
process.on('disconnect', interrupt);
process.channel?.unref();
process.stdout.on('error', interrupt);

process.exitCode = await main();
// What is written is out first; then the end, whatever may be open.
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit();

async function main(): Promise<number> {
  const startedAt = Date.now();
  const settings = loadSettings(process.env);
  const { redisUrl } = settings;
  if (redisUrl === null) throw new Error('Expected REDIS_URL. This is a part of the demo: npm run demo');
  const connected = { ...settings, redisUrl };
  const producer = createProducer({ ...connected, loggers: createLoggerFactory({ settings }) });
  const screen = new (process.stdout.isTTY ? LiveScreen : PlainScreen)(process.stdout, createPaint(process.stdout), startedAt);
  try {
    const { rows, trouble } = await perform(producer, settings, screen);
    const registered = await registryEntries(connected).catch((error: unknown) => {
      trouble.push(messageOf(error));
      return 0;
    });
    const problems = [...trouble, ...problemsOf(rows, registered)];
    for (const line of ['', ...tableOf(rows, screen.paint), '', summaryOf(rows, Date.now() - startedAt)]) screen.tell(line);
    for (const problem of problems) screen.tell(screen.paint('red', `Not as it should be: ${problem}`));
    return problems.length === 0 ? EXIT.DONE : EXIT.TASK_FAILED;
  } catch (error) {
    if (error instanceof Interrupted) return EXIT.INTERRUPTED;
    throw error;
  } finally {
    screen.close();
    await Promise.race([producer.close(), delay(CLOSE_MS)]);
  }
}

/** Runs the show; what went wrong with it is returned, with the tasks as they were then. @throws Interrupted */
async function perform(producer: Producer, settings: Settings, screen: Screen): Promise<{ rows: readonly TaskRow[]; trouble: string[] }> {
  let rows: readonly TaskRow[] = [];
  const tooLate = AbortSignal.timeout(LONGEST_SHOW_MS);
  const signal = AbortSignal.any([interrupted.signal, tooLate]);
  try {
    await runShow({ producer, batch: makeBatch(settings.documentRoot ?? '.'), screen, signal }, (all) => {
      rows = all;
    });
    return { rows, trouble: [] };
  } catch (error) {
    interrupted.signal.throwIfAborted();
    return { rows, trouble: [tooLate.aborted ? `not over after ${LONGEST_SHOW_MS / 1_000} s` : messageOf(error)] };
  } finally {
    screen.close();
  }
}

/** How many entries the registry of live tasks has, once it is empty or has had its time. */
async function registryEntries(settings: Settings & { readonly redisUrl: string }): Promise<number> {
  const logger = createLoggerFactory({ settings })('cli');
  const redis = connect({ settings, policy: 'fail-fast', logger, name: 'taskfleet:demo' });
  const keys = createKeys(settings.keyPrefix);
  try {
    await ready(redis, settings.connectTimeoutMs);
    for (const deadline = performance.now() + REGISTRY_WAIT_MS; ; await delay(REGISTRY_POLL_MS)) {
      const counts = await Promise.all([redis.hlen(keys.tasks), redis.hlen(keys.taskQueues), redis.zcard(keys.live)]);
      const entries = Math.max(...counts);
      if (entries === 0 || performance.now() > deadline) return entries;
    }
  } finally {
    redis.disconnect();
  }
}
