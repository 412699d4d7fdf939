import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Express, Request, Response } from 'express';
import { type Logger, RepeatedLines } from '../../shared/log/logger.js';
import { parseBasePath } from '../../shared/settings/web-address.js';

type Next = (error?: unknown) => void;

const HEADER = 'x-forwarded-prefix';

/**
 * The path below which a proxy serves the dashboard and which it strips from requests. {@link enter} puts it in front of `req.baseUrl`,
 * where Express has the mount point, so that links, redirects, cookies, the board and the OpenAPI document have both.
 */
export class BasePath {
  readonly #lines: RepeatedLines;

  /** @param fixed API_BASE_PATH; `''` for the `X-Forwarded-Prefix` of a trusted proxy */
  constructor(
    private readonly fixed: string,
    logger: Logger,
  ) {
    this.#lines = new RepeatedLines(logger);
  }

  /** Enters the dashboard. Returns the `next` that leaves it again, with `req.baseUrl` as it was. */
  enter(req: IncomingMessage, res: ServerResponse, next: Next): Next {
    const prefix = this.fixed || this.#forwarded(req as Request);
    const { locals = {} } = res as Partial<Response>;
    // Only an Express app sets `locals`.
    Object.assign(res, { locals: Object.assign(locals, { prefix }) });
    if (prefix === '') return next;
    const { baseUrl = '' } = req as Partial<Request>;
    Object.assign(req, { baseUrl: prefix + baseUrl });
    return (error) => {
      Object.assign(req, { baseUrl });
      next(error);
    };
  }

  /** Returns the `X-Forwarded-Prefix`, which only a trusted proxy may send; `''` without it. */
  #forwarded(req: Request): string {
    const given = req.headers[HEADER];
    if (given === undefined) return '';
    const peer = req.socket.remoteAddress ?? '';
    if (!trusts(req, peer)) {
      this.#lines.warn(peer, { address: peer }, 'Ignored X-Forwarded-Prefix of an untrusted peer; set API_TRUST_PROXY or API_BASE_PATH');
      return '';
    }
    const prefix = typeof given === 'string' ? parseBasePath(given) : null;
    if (prefix === null) this.#lines.warn(`${peer} bad`, { address: peer }, 'Ignored X-Forwarded-Prefix: expected a path such as /fleet');
    return prefix ?? '';
  }
}

/** Returns whether the app that serves the request trusts its peer. */
function trusts({ app }: Partial<Pick<Request, 'app'>>, peer: string): boolean {
  const isTrusted = (app as Express | undefined)?.get('trust proxy fn') as ((address: string, hop: number) => boolean) | undefined;
  return isTrusted?.(peer, 0) ?? false;
}

/** Returns the path of the dashboard below which its routes are, as browsers see it: `''` for the root of the host. */
export function basePathOf(res: Pick<Response, 'locals'>): string {
  return (res.locals as { mount?: string } | undefined)?.mount ?? '';
}

/** Returns the path and query of a request as the browser sent them to the proxy. */
export function publicUrlOf(
  { originalUrl, url = '/' }: IncomingMessage & { readonly originalUrl?: string },
  res: Pick<Response, 'locals'>,
): string {
  return prefixOf(res) + (originalUrl ?? url);
}

/**
 * Returns the start of a page's links to the dashboard: the given relative path, or behind a proxy that strips a known path an absolute
 * one, which is right even if the proxy serves `/fleet` without its slash.
 */
export function linkRootOf(res: Pick<Response, 'locals'>, relative: string): string {
  return prefixOf(res) === '' ? relative : `${basePathOf(res)}/`;
}

function prefixOf(res: Pick<Response, 'locals'>): string {
  return (res.locals as { prefix?: string } | undefined)?.prefix ?? '';
}
