import type { ServerResponse } from 'node:http';
import type {
  AppControllerRoute,
  AppViewRoute,
  BullBoardQueues,
  ControllerHandlerReturnType,
  HTTPMethod,
  IServerAdapter,
  UIConfig,
} from '@bull-board/api/typings/app';
import express, { type RequestHandler, Router } from 'express';
import { BoardPage } from './page.js';

/** A route of Bull Board's API, as it is mounted. */
export interface ApiRoute {
  readonly method: HTTPMethod;
  /** As Express has it. */
  readonly route: string;
  readonly handler: AppControllerRoute['handler'];
}

/** Makes what answers a route. */
export type Mount = (route: ApiRoute, all: readonly ApiRoute[], uiConfig: UIConfig) => RequestHandler;

const YEAR_S = 365 * 24 * 3_600;
/** A file whose name changes with its content. */
const HASHED = /\.[0-9a-f]{10}\.(?:js|css)$/;

/**
 * What Bull Board is mounted with: its page, its assets and its API as one router. Its own adapter for Express knows one
 * path that is set beforehand, hides who makes a request from the hooks, and brings an Express app with settings of its own.
 */
export class ServerAdapter implements IServerAdapter {
  readonly router = Router({ caseSensitive: true });
  readonly #mount: Mount;
  #views = '';
  #uiConfig: UIConfig = {};

  constructor(mount: Mount) {
    this.#mount = mount;
  }

  /** The queues are those that a request finds. */
  setQueues(_queues: BullBoardQueues): this {
    return this;
  }

  setViewsPath(folder: string): this {
    this.#views = folder;
    return this;
  }

  setStaticPath(path: string, folder: string): this {
    const setHeaders = (res: ServerResponse, file: string): void =>
      void (HASHED.test(file) && res.setHeader('Cache-Control', `private, max-age=${YEAR_S}, immutable`));
    this.router.use(path, express.static(folder, { index: false, redirect: false, setHeaders }));
    return this;
  }

  setUIConfig(config: UIConfig): this {
    this.#uiConfig = config;
    return this;
  }

  setEntryRoute(entry: AppViewRoute): this {
    const { name } = entry.handler({ basePath: '', uiConfig: this.#uiConfig });
    const page = new BoardPage(this.#views, name);
    this.router.get(entry.route, (req, res) => {
      const { params } = entry.handler({ basePath: req.baseUrl, uiConfig: this.#uiConfig });
      const html = page.render(params);
      res.writeHead(200, {
        'Content-Type': 'text/html; charset=utf-8',
        'Content-Length': Buffer.byteLength(html),
        'Cache-Control': 'no-store',
      });
      res.end(html);
    });
    return this;
  }

  /** Errors are answered as everywhere in the dashboard. */
  setErrorHandler(_handler: (error: Error) => ControllerHandlerReturnType): this {
    return this;
  }

  setApiRoutes(routes: readonly AppControllerRoute[]): this {
    const all = routes.flatMap((one) =>
      [one.method]
        .flat()
        .flatMap((method) => [one.route].flat().map((route): ApiRoute => ({ method, route, handler: (request) => one.handler(request) }))),
    );
    for (const one of all) this.router[one.method](one.route, this.#mount(one, all, this.#uiConfig));
    return this;
  }
}
