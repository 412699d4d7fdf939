import { resolve } from 'node:path';
import { FleetError } from '../../shared/errors.js';
import { type Settings, loadSettings } from '../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../shared/store.js';
import type { Io } from '../io.js';
import { type GlobalOptions, clientEnvironmentOf } from '../options.js';
import type { FleetClient } from './client.js';
import { ApiConnection, apiOf } from './http-connection.js';
import { ApiClient } from './http.js';

/** The embedded Redis's data folder, relative to the working directory. */
export const REDIS_DIR = '.taskfleet/redis';

/**
 * Runs `work` with a client that uses the API if one is configured, otherwise Redis, and closes the client afterwards.
 * @throws CliError `USAGE`; FleetError `REDIS_UNAVAILABLE` if no Redis is configured or running here; `INVALID_SETTINGS`
 */
export async function withClient<Value>(io: Io, globals: GlobalOptions, work: (client: FleetClient) => Promise<Value>): Promise<Value> {
  const api = apiOf(io, globals);
  if (api) return work(new ApiClient(new ApiConnection(api)));
  const settings = await clientSettings(io, globals);
  // Imported lazily: loading it would dominate the start-up of commands that use the API or print help.
  const { withRedisClient } = await import('./redis.js');
  return withRedisClient(io, settings, work);
}

/** Returns the settings for a client command, with the Redis of REDIS_URL or the embedded one of this folder. */
export async function clientSettings(io: Io, globals: GlobalOptions): Promise<ConnectedSettings> {
  return locateRedis(io, loadSettings(clientEnvironmentOf(io, globals)));
}

/** Fills in the Redis URL: REDIS_URL, or the embedded Redis running in this folder. @throws FleetError `REDIS_UNAVAILABLE` */
export async function locateRedis({ cwd }: Io, settings: Settings): Promise<ConnectedSettings> {
  const redisUrl = settings.redisUrl ?? (await embeddedUrl(resolve(cwd, REDIS_DIR)));
  if (redisUrl) return { ...settings, redisUrl };
  const message = `No Redis: REDIS_URL is not set, and no fleet runs in this folder (${REDIS_DIR}). Set REDIS_URL, or start: taskfleet up`;
  throw new FleetError('REDIS_UNAVAILABLE', message);
}

async function embeddedUrl(dir: string): Promise<string | undefined> {
  const { findRunningEmbeddedRedis } = await import('../embedded-redis/embedded.js');
  return (await findRunningEmbeddedRedis(dir))?.url;
}
