import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { isPortFree } from '../../../shared/embedded-redis/server-process.js';

/**
 * Below the ephemeral ports (32768 and up on Linux): a client that reconnects to a stopped server could otherwise be given the port
 * of the server, and connect to itself.
 */
const PORTS = { min: 20_000, max: 32_000 } as const;
const MAX_ATTEMPTS = 50;

/**
 * Starts a server on a random port of the tests' range, which no other test gets while this process lives: a server that a test kills
 * can be started again.
 * @param start returns null if the port is taken: it is then called again with another one
 * @param below the upper limit, excluded; default 32,000
 */
export async function onFreePort<Server>(start: (port: number) => Promise<Server | null>, below: number = PORTS.max): Promise<Server> {
  for (let attempt = 1; attempt <= MAX_ATTEMPTS; attempt += 1) {
    const port = randomInt(PORTS.min, below);
    const server = (await claim(port)) ? await start(port) : null;
    if (server !== null) return server;
  }
  throw new Error(`No free port from ${PORTS.min} to ${below} in ${MAX_ATTEMPTS} attempts`);
}

/** Returns a free port of the tests' range, for a server that another process starts. No other test gets it while this process lives. */
export function ownPort(): Promise<number> {
  return onFreePort(async (port) => ((await isPortFree(port)) ? port : null));
}

/** Claims a port among all test processes of this machine by the UDP port of the same number, which no server uses. */
function claim(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket('udp4').unref();
    socket.once('error', () => {
      socket.close();
      resolve(false);
    });
    socket.bind({ address: '127.0.0.1', port, exclusive: true }, () => resolve(true));
  });
}
