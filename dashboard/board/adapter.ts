import { AsyncLocalStorage } from 'node:async_hooks';
import type { AppControllerRoute, AppViewRoute, BullBoardRequest, ControllerHandlerReturnType } from '@bull-board/api/typings/app';
import { ExpressAdapter } from '@bull-board/express';
import type { Express, RequestHandler, Response } from 'express';

/** Answers a route of Bull Board's API. An error goes on to the error handlers behind {@link BoardAdapter.handle}. */
type Answer = (
  route: AppControllerRoute,
  request: BullBoardRequest,
  res: Response,
) => Promise<{ readonly status: number; readonly body: unknown }>;

interface Current {
  readonly res: Response;
  /** Whether the app around the dashboard trusts a proxy. */
  readonly trusts: (address: string, hop: number) => boolean;
}

/** Bull Board's template loads fonts from another origin, which our policy blocks. The page falls back to the browser's fonts. */
const FOREIGN_LINK = /<link\b[^>]*\bhref="https?:[^>]*>/g;

/**
 * Bull Board's adapter for Express, where each API call also knows its response and thereby its caller. The base path is that of each
 * request, so one adapter serves any number of mounts and keeps nothing of a path that a caller chose.
 */
export class BoardAdapter extends ExpressAdapter {
  readonly #current = new AsyncLocalStorage<Current>();

  constructor(private readonly answer: Answer) {
    super();
    this.app.disable('x-powered-by').disable('etag').enable('case sensitive routing').enable('view cache');
    // A request in this app follows the settings of this app, but the audit needs the address that the outer app sees.
    this.app.set('trust proxy', (address: string, hop: number) => this.#current.getStore()?.trusts(address, hop) ?? false);
  }

  /** Serves the board's page, its assets and its API. */
  readonly handle: RequestHandler = (req, res, next) => {
    const outer = req.app as Express | undefined;
    const trusts = (outer?.get('trust proxy fn') ?? (() => false)) as Current['trusts'];
    this.#current.run({ res, trusts }, () => this.app(req, res, next));
  };

  override setEntryRoute(view: AppViewRoute): this {
    this.app[view.method](view.route, (req, res, next) => {
      const { name, params } = view.handler({ basePath: req.baseUrl, uiConfig: this.uiConfig });
      this.app.render(name, params, (error: Error | null, html) => {
        if (error) next(error);
        else res.set('Cache-Control', 'no-store').send(html.replaceAll(FOREIGN_LINK, ''));
      });
    });
    return this;
  }

  override setApiRoutes(routes: readonly AppControllerRoute[]): this {
    super.setApiRoutes(
      routes.map((route): AppControllerRoute => ({ ...route, handler: (request) => this.#answer(route, request as BullBoardRequest) })),
    );
    return this;
  }

  /** Passes errors on: the dashboard answers all errors in one way. */
  override setErrorHandler(): this {
    return super.setErrorHandler((error) => {
      throw error;
    });
  }

  async #answer(route: AppControllerRoute, request: BullBoardRequest): Promise<ControllerHandlerReturnType> {
    const current = this.#current.getStore();
    if (!current) throw new Error('This route is not behind BoardAdapter.handle.');
    return (await this.answer(route, request, current.res)) as ControllerHandlerReturnType;
  }
}
