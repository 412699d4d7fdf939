import { resolve } from 'node:path';
import { FleetError } from '../../shared/errors.js';
import { type Settings, loadSettings } from '../../shared/settings/settings.js';
import type { ConnectedSettings } from '../../shared/store.js';
import { clientEnvironmentOf } from '../environment.js';
import { invocationOf } from '../invocation.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { REDIS_DIR } from './open.js';

/** Returns the settings for a client command, with the Redis of REDIS_URL or the embedded one of this folder. */
export async function clientSettings(io: Io, globals: GlobalOptions): Promise<ConnectedSettings> {
  return locateRedis(io, loadSettings(clientEnvironmentOf(io, globals)));
}

/** Fills in the Redis URL: REDIS_URL, or the embedded Redis running in this folder. @throws FleetError `REDIS_UNAVAILABLE` */
export async function locateRedis(io: Io, settings: Settings): Promise<ConnectedSettings> {
  const redisUrl = settings.redisUrl ?? (await embeddedUrl(resolve(io.cwd, REDIS_DIR)));
  if (redisUrl) return { ...settings, redisUrl };
  const none = `No Redis: REDIS_URL is not set, and no fleet runs in this folder (${REDIS_DIR}).`;
  throw new FleetError('REDIS_UNAVAILABLE', `${none} Set REDIS_URL, or start: ${invocationOf(io)} up`);
}

async function embeddedUrl(dir: string): Promise<string | undefined> {
  const { findRunningEmbeddedRedis } = await import('../../shared/embedded-redis/embedded.js');
  return (await findRunningEmbeddedRedis(dir))?.url;
}
