import { randomInt } from 'node:crypto';

/**
 * Below the ephemeral ports (32768 and up on Linux): a client that reconnects to a stopped server could otherwise be given the port
 * of the server, and connect to itself.
 */
const PORTS = { min: 20_000, max: 32_000 } as const;
const MAX_ATTEMPTS = 50;

/**
 * Starts a server on a random port of the tests' range.
 * @param start returns null if the port is taken: it is then called again with another one
 * @param below the upper limit, excluded; default 32,000
 */
export async function onFreePort<Server>(start: (port: number) => Promise<Server | null>, below: number = PORTS.max): Promise<Server> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const server = await start(randomInt(PORTS.min, below));
    if (server !== null) return server;
  }
  throw new Error(`No free port from ${PORTS.min} to ${below} in ${MAX_ATTEMPTS} attempts`);
}
