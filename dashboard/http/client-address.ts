import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';

/** Returns the client address: behind trusted proxies as Express derives it from `X-Forwarded-For`, else the socket's. */
export function addressOf(req: IncomingMessage): string {
  return (req as Partial<Request>).ip ?? req.socket.remoteAddress ?? 'unknown';
}

/** Returns the rate-limit key of an address. IPv6 addresses are grouped by /56, the range of one customer. */
export function addressKey(address: string): string {
  return address === 'unknown' ? address : ipKeyGenerator(address);
}

/** Returns whether the request came over TLS, here or at a trusted proxy. */
export function isSecure(req: IncomingMessage): boolean {
  return (req as Partial<Request>).secure ?? 'encrypted' in req.socket;
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/.test(address);
}
