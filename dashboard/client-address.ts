import type { IncomingMessage } from 'node:http';
import type { Request } from 'express';
import { ipKeyGenerator } from 'express-rate-limit';

/** The caller's address: what Express makes of `X-Forwarded-For` where proxies are trusted, else that of the connection. */
export function addressOf(req: IncomingMessage): string {
  return (req as Partial<Request>).ip ?? req.socket.remoteAddress ?? 'unknown';
}

/** What an address is counted by. An IPv6 network of 56 bits counts as one, as one customer gets that many addresses. */
export function addressKey(address: string): string {
  return address === 'unknown' ? address : ipKeyGenerator(address);
}

/** Whether the caller came over TLS, here or at a trusted proxy. */
export function isSecure(req: IncomingMessage): boolean {
  return (req as Partial<Request>).secure ?? 'encrypted' in req.socket;
}

export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && /^(?:::1|(?:::ffff:)?127(?:\.\d{1,3}){3})$/.test(address);
}
