import { randomInt } from 'node:crypto';

/**
 * Below the range from which the system takes the ports of outgoing connections (32768 and up on Linux): there, a client
 * that reconnects to a server that is down could get the server's port itself, and be connected to itself.
 */
const PORTS = { min: 20_000, max: 32_000 } as const;
const MAX_ATTEMPTS = 50;

/**
 * Has a server started on a port of the tests' range, chosen at random.
 * @param start null if somebody else has the port: it is then called again, with another one
 * @param below the first port that may not be chosen; default 32,000
 */
export async function onFreePort<Server>(start: (port: number) => Promise<Server | null>, below: number = PORTS.max): Promise<Server> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const server = await start(randomInt(PORTS.min, below));
    if (server !== null) return server;
  }
  throw new Error(`No free port from ${PORTS.min} to ${below} in ${MAX_ATTEMPTS} attempts`);
}
