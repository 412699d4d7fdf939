import { once } from 'node:events';
import { type IncomingHttpHeaders, type RequestListener, type ServerOptions, createServer, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import express from 'express';
import { createDashboard } from '../../dashboard/index.js';
import type { Producer } from '../../producer/index.js';
import { type LoggerFactory, createLoggerFactory } from '../../shared/log/logger.js';
import { resolveSettings } from '../../shared/settings/settings.js';

export interface Answer {
  readonly status: number;
  readonly type: string | undefined;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** The parsed body; undefined if it is not JSON. */
  readonly body: unknown;
}

export interface Served {
  readonly port: number;
  /** The dashboard's log lines. */
  readonly logged: readonly string[];
  /** Sends a request with exactly this path; `fetch` would normalize it. */
  send(method: string, path: string): Promise<Answer>;
  close(): Promise<void>;
}

/** Serves an Express app on loopback with a dashboard at `/fleet`. */
export function serveDashboard(producer: Producer, options: ServerOptions & { readonly loggers?: LoggerFactory } = {}): Promise<Served> {
  const logged: string[] = [];
  const settings = resolveSettings({ logLevel: 'info' });
  const loggers = options.loggers ?? createLoggerFactory({ settings, destination: { write: (line) => void logged.push(line) } });
  const app = express();
  app.use('/fleet', createDashboard({ producer, auth: false, loggers }).router);
  app.use((_req, res) => void res.status(404).send('the app has no such page'));
  return serve(app, logged, options);
}

export async function serve(listener: RequestListener, logged: readonly string[] = [], options: ServerOptions = {}): Promise<Served> {
  const server = createServer(options, listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    port,
    logged,
    send: (method, path) => send(port, method, path),
    close: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function send(port: number, method: string, path: string): Promise<Answer> {
  const outgoing = request({ host: '127.0.0.1', port, method, path, agent: false }).end();
  const [response] = (await once(outgoing, 'response')) as [import('node:http').IncomingMessage];
  const got = await text(response);
  const { statusCode: status = 0, headers } = response;
  return { status, headers, type: headers['content-type'], text: got, body: parse(got) };
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
