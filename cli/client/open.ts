import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { apiOf } from './api-address.js';
import type { FleetClient } from './client.js';

/** The embedded Redis's data folder, relative to the working directory. */
export const REDIS_DIR = '.taskfleet/redis';

/**
 * Runs `work` with a client that uses the API if one is configured, otherwise Redis, and closes the client afterwards. Loads only the
 * client in use, because loading dominates the start-up.
 * @throws CliError `USAGE`; FleetError `REDIS_UNAVAILABLE` if no Redis is configured or running here; `INVALID_SETTINGS`
 */
export async function withClient<Value>(io: Io, globals: GlobalOptions, work: (client: FleetClient) => Promise<Value>): Promise<Value> {
  const api = apiOf(io, globals);
  if (api) {
    const [{ ApiConnection }, { ApiClient }] = await Promise.all([import('./http-connection.js'), import('./http.js')]);
    return work(new ApiClient(new ApiConnection(api)));
  }
  // Before the client, which takes longer to load.
  const { clientSettings } = await import('./settings.js');
  const settings = await clientSettings(io, globals);
  const { withRedisClient } = await import('./redis.js');
  return withRedisClient(io, settings, work);
}
