import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Logger } from '../shared/logger.js';
import { RepeatedLines } from '../shared/repeated-lines.js';
import { addressKey } from './client-address.js';

export interface ConnectionLimit {
  /** Connections of one address. */
  readonly perAddress: number;
  /** Whether this is a proxy, whose connections are those of many. */
  readonly isProxy: (address: string) => boolean;
  readonly logger: Logger;
}

/** Closes a connection at once whose address has as many as it may: one alone cannot hold all that the server has. */
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
      lines.warn(key, { address, limit: perAddress }, 'Too many connections of one address: closed at once');
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
