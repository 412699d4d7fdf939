import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { type Logger, RepeatedLines } from '../../shared/logger.js';
import { addressKey } from './client-address.js';

export interface ConnectionLimit {
  /** Maximum open connections per address. */
  readonly perAddress: number;
  /** Whether the address is a trusted proxy, which carries many clients and is exempt. */
  readonly isProxy: (address: string) => boolean;
  readonly logger: Logger;
}

/** Limits open connections per address, so that no client can use up the server's. */
export function limitConnections(server: Server, { perAddress, isProxy, logger }: ConnectionLimit): void {
  const open = new Map<string, number>();
  const lines = new RepeatedLines(logger);
  server.on('connection', (socket: Socket) => {
    const { remoteAddress: address } = socket;
    if (address === undefined || isProxy(address)) return;
    const key = addressKey(address);
    const count = (open.get(key) ?? 0) + 1;
    if (count > perAddress) {
      socket.destroy();
      lines.warn(key, { address, limit: perAddress }, 'Too many connections from one address; closing the new one');
      return;
    }
    open.set(key, count);
    socket.once('close', () => {
      const left = (open.get(key) ?? 1) - 1;
      if (left === 0) open.delete(key);
      else open.set(key, left);
    });
  });
}
