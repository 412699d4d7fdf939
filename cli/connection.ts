import { FleetError } from '../shared/errors.js';
import { type Settings, loadSettings } from '../shared/settings.js';
import type { ConnectedSettings } from '../shared/store.js';
import { apiOf } from './api/address.js';
import { ApiClient } from './api/api-client.js';
import { ApiConnection } from './api/connection.js';
import type { FleetClient } from './client.js';
import { type GlobalOptions, clientEnvironmentOf } from './global-options.js';

/** The embedded Redis's data folder, below the folder that the command runs in. */
export const REDIS_DIR = '.taskfleet/redis';

/**
 * Runs `work` with a client of the fleet: over the API if one is given, else over Redis. Closes it.
 * @throws CliError `USAGE`; FleetError `REDIS_UNAVAILABLE` if there is no Redis to be found; `INVALID_SETTINGS`
 */
export async function withClient<Value>(globals: GlobalOptions, work: (client: FleetClient) => Promise<Value>): Promise<Value> {
  const api = apiOf(globals);
  if (api) return work(new ApiClient(new ApiConnection(api)));
  const settings = await clientSettings(globals);
  // Loaded when it is needed: it would be most of the start of a command that asks the API, or prints its help.
  const { withRedisClient } = await import('./redis-client.js');
  return withRedisClient(settings, work);
}

/** The settings of a command that asks a fleet something: with the Redis of REDIS_URL, else of this folder. */
export async function clientSettings(globals: GlobalOptions): Promise<ConnectedSettings> {
  return locateRedis(loadSettings(clientEnvironmentOf(globals)));
}

/** The settings with a Redis: that of REDIS_URL, else the one that runs for this folder. @throws FleetError `REDIS_UNAVAILABLE` */
export async function locateRedis(settings: Settings): Promise<ConnectedSettings> {
  const redisUrl = settings.redisUrl ?? (await embeddedUrl());
  if (redisUrl) return { ...settings, redisUrl };
  const message = `No Redis: REDIS_URL is not set, and no fleet runs in this folder (${REDIS_DIR}). Set REDIS_URL, or start one with: taskfleet up`;
  throw new FleetError('REDIS_UNAVAILABLE', message);
}

async function embeddedUrl(): Promise<string | undefined> {
  const { findRunningEmbeddedRedis } = await import('../shared/redis/embedded.js');
  return (await findRunningEmbeddedRedis(REDIS_DIR))?.url;
}
