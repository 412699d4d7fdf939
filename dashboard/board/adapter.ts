import { AsyncLocalStorage } from 'node:async_hooks';
import { ExpressAdapter } from '@bull-board/express';
import type {
  AppControllerRoute,
  AppViewRoute,
  BullBoardRequest,
  ControllerHandlerReturnType,
  HTTPMethod,
} from '@bull-board/api/typings/app';
import type { Express, RequestHandler, Response } from 'express';

/** A route of Bull Board's API: one method, one pattern, and the handler that Bull Board has for it. */
export interface ApiRoute {
  readonly method: HTTPMethod;
  readonly pattern: string;
  readonly handler: (request: BullBoardRequest) => Promise<ControllerHandlerReturnType>;
}

/** Answers a route of Bull Board's API in place of its handler. An error goes on to the error handlers behind the adapter's router. */
type Answer = (route: ApiRoute, request: BullBoardRequest, res: Response) => Promise<Answered>;

export interface Answered {
  readonly status: number;
  readonly body: unknown;
}

interface Current {
  readonly res: Response;
  /** Whether the app around the dashboard trusts a proxy. */
  readonly trusts: (address: string, hop: number) => boolean;
}

/** Bull Board's template loads fonts from another origin, which our policy blocks; the page falls back to the browser's fonts. */
const FOREIGN_LINK = /<link\b[^>]*\bhref="https?:[^>]*>/g;

/**
 * Bull Board's adapter for Express, which here also knows the response that belongs to a call of its API, and the path of each request:
 * one adapter serves any number of mounts, and keeps nothing of a path that a caller has chosen.
 */
export class BoardAdapter extends ExpressAdapter {
  readonly #current = new AsyncLocalStorage<Current>();

  constructor(private readonly answer: Answer) {
    super();
    this.app.disable('x-powered-by').disable('etag').enable('case sensitive routing').enable('view cache');
    // Express applies the settings of this app to a request that passes through it; the caller's address goes into the audit.
    this.app.set('trust proxy', (address: string, hop: number) => this.#current.getStore()?.trusts(address, hop) ?? false);
  }

  /** Serves the board: its page, its assets and its API. */
  readonly handle: RequestHandler = (req, res, next) => {
    const around = req.app as Express | undefined;
    const trusts = (around?.get('trust proxy fn') ?? (() => false)) as Current['trusts'];
    this.#current.run({ res, trusts }, () => this.app(req, res, next));
  };

  override setEntryRoute({ method, route, handler }: AppViewRoute): this {
    this.app[method](route, (req, res, next) => {
      const { name, params } = handler({ basePath: req.baseUrl, uiConfig: this.uiConfig });
      this.app.render(name, params, (error: Error | null, html) => {
        if (error) next(error);
        else res.set('Cache-Control', 'no-store').send(html.replaceAll(FOREIGN_LINK, ''));
      });
    });
    return this;
  }

  override setApiRoutes(routes: readonly AppControllerRoute[]): this {
    const answered = routes.flatMap((route) =>
      [route.method].flat().flatMap((method) =>
        [route.route].flat().map((pattern): AppControllerRoute => ({
          ...route,
          method,
          route: pattern,
          handler: (request) => this.#answer({ method, pattern, handler: async (its) => route.handler(its) }, request as BullBoardRequest),
        })),
      ),
    );
    super.setApiRoutes(answered);
    return this;
  }

  /** Passes errors on: all errors of the dashboard are answered in one way. */
  override setErrorHandler(): this {
    return super.setErrorHandler((error) => {
      throw error;
    });
  }

  async #answer(route: ApiRoute, request: BullBoardRequest): Promise<ControllerHandlerReturnType> {
    const current = this.#current.getStore();
    if (!current) throw new Error('Expected a call of the board through `handle`.');
    return (await this.answer(route, request, current.res)) as ControllerHandlerReturnType;
  }
}
