import { type Producer, createProducer } from '../producer/index.js';
import { FleetError } from '../shared/errors.js';
import { createLoggerFactory } from '../shared/logger.js';
import { findRunningEmbeddedRedis } from '../shared/redis/embedded.js';
import { type Settings, loadSettings } from '../shared/settings.js';
import type { ConnectedSettings } from '../shared/store.js';
import { type GlobalOptions, clientEnvironmentOf } from './global-options.js';

/** The embedded Redis's data folder, below the folder that the command runs in. */
export const REDIS_DIR = '.taskfleet/redis';

/** What a command works with that asks a fleet something. */
export interface Client {
  readonly producer: Producer;
  readonly settings: ConnectedSettings;
}

/**
 * Runs `work` with a producer, and closes it.
 * @throws FleetError `REDIS_UNAVAILABLE` if there is no Redis to be found; `INVALID_SETTINGS`
 */
export async function withProducer<Value>(globals: GlobalOptions, work: (client: Client) => Promise<Value>): Promise<Value> {
  const settings = await clientSettings(globals);
  const loggers = createLoggerFactory({ settings, pretty: process.stderr.isTTY });
  const producer = createProducer({ ...settings, loggers });
  try {
    return await work({ producer, settings });
  } finally {
    await producer.close();
  }
}

/** The settings of a command that asks a fleet something: with the Redis of REDIS_URL, else of this folder. */
export async function clientSettings(globals: GlobalOptions): Promise<ConnectedSettings> {
  return locateRedis(loadSettings(clientEnvironmentOf(globals)));
}

async function locateRedis(settings: Settings): Promise<ConnectedSettings> {
  const redisUrl = settings.redisUrl ?? (await findRunningEmbeddedRedis(REDIS_DIR))?.url;
  if (redisUrl) return { ...settings, redisUrl };
  const message = `No Redis: REDIS_URL is not set, and no fleet runs in this folder (${REDIS_DIR}). Set REDIS_URL, or start one with: taskfleet up`;
  throw new FleetError('REDIS_UNAVAILABLE', message);
}
