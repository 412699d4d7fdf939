import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { FleetError, messageOf } from '../errors.js';
import type { Settings } from '../settings/settings.js';
import { parseRedisUrl } from './redis-url.js';

/**
 * Returns the TLS options for a `rediss:` URL, else null. The files are read for each connection, so that certificates can be
 * renewed in place.
 * @throws FleetError `INVALID_SETTINGS`, naming the file that cannot be read
 */
export function tlsOf({
  redisUrl,
  tlsCaFile,
  tlsCertFile,
  tlsKeyFile,
}: Settings & { readonly redisUrl: string }): ConnectionOptions | null {
  if (!parseRedisUrl(redisUrl).tls) return null;
  return {
    ...(tlsCaFile !== null && { ca: read('REDIS_TLS_CA_FILE', tlsCaFile) }),
    ...(tlsCertFile !== null && { cert: read('REDIS_TLS_CERT_FILE', tlsCertFile) }),
    ...(tlsKeyFile !== null && { key: read('REDIS_TLS_KEY_FILE', tlsKeyFile) }),
  };
}

function read(variable: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw new FleetError('INVALID_SETTINGS', `${variable}: cannot read the file: ${messageOf(error)}`, { cause: error });
  }
}
