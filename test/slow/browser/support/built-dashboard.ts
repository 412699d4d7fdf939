import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { entryOf, newToken } from '../../../../dashboard/auth/tokens.js';
import type { Dashboard } from '../../../../dashboard/index.js';
import type { Producer } from '../../../../producer/index.js';
import { LogLines } from '../../../support/fleet/log-lines.js';
import { builtUrl } from '../../../support/process/built.js';

export interface BuiltDashboard {
  readonly origin: string;
  /** The dashboard's URL, below the root of its app. */
  readonly url: string;
  readonly tokens: { readonly admin: string; readonly operator: string; readonly viewer: string };
  /** Replaces the dashboard with a new one, which clients see as a restart. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Serves the built dashboard, with compiled pages, at a path of an Express app. */
export async function serveBuilt(redisUrl: string, keyPrefix: string, path: '/' | `/${string}` = '/fleet'): Promise<BuiltDashboard> {
  const { createDashboard } = (await import(builtUrl('dist/dashboard/index.js'))) as typeof import('../../../../dashboard/index.js');
  const { createProducer } = (await import(builtUrl('dist/producer/index.js'))) as typeof import('../../../../producer/index.js');
  const tokens = { admin: newToken(), operator: newToken(), viewer: newToken() };
  const apiTokens = [
    entryOf(tokens.admin, { name: 'ada', role: 'admin', items: null }),
    entryOf(tokens.operator, { name: 'olga', role: 'operator', items: null }),
    entryOf(tokens.viewer, { name: 'vera', role: 'viewer', items: null }),
  ];
  const producer: Producer = createProducer({ redisUrl, keyPrefix, logLevel: 'silent' });
  const create = (): Dashboard =>
    createDashboard({ producer, auth: { apiTokens, apiRateLimit: 1_000_000 }, loggers: new LogLines().loggers, streams: { lookMs: 200 } });
  let dashboard = create();
  const app = express().use(path, (req, res, next) => dashboard.router(req, res, next));
  const server = createServer(app);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    ...{ origin, url: `${origin}${path === '/' ? '' : path}/`, tokens },
    restart: async () => {
      const old = dashboard;
      dashboard = create();
      await old.close();
    },
    close: async () => {
      await dashboard.close();
      server.close();
      server.closeAllConnections();
      await producer.close();
    },
  };
}
