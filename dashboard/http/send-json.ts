import type { ServerResponse } from 'node:http';

interface SendOptions {
  readonly status?: number;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/**
 * Sends JSON, by default with status 200 and `application/json`. Express's `res.json` would follow the settings of the app that mounts
 * the router (`json spaces`, `json replacer`, `etag`).
 */
export function sendJson(
  res: ServerResponse,
  body: unknown,
  { status = 200, type = 'application/json', headers = {} }: SendOptions = {},
): void {
  const json = JSON.stringify(body);
  res.writeHead(status, { 'Content-Type': type, 'Content-Length': Buffer.byteLength(json), 'Cache-Control': 'no-store', ...headers });
  res.end(json);
}
