import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RequestHandler, Router } from 'express';
import { packageFile } from '../../shared/package/package-file.js';
import { sendJson } from '../http/send-json.js';
import type { OpenApiDocument } from './openapi.js';

const TYPES = { css: 'text/css; charset=utf-8', js: 'text/javascript; charset=utf-8', html: 'text/html; charset=utf-8' } as const;
/** Files of Swagger UI. They come from a package that ships them without telemetry at install time, which `swagger-ui-dist` has. */
const PACKAGED = ['swagger-ui.css', 'swagger-ui-bundle.js'] as const;

const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>taskfleet API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
</head>
<body>
<main id="document"></main>
<script src="docs/swagger-ui-bundle.js"></script>
<script type="module" src="docs/start.js"></script>
</body>
</html>
`;

/** Serves `GET /openapi.json` and its reader `GET /docs`, without external resources. */
export function docsRoutes(describe: () => OpenApiDocument): Router {
  const router = Router({ caseSensitive: true, strict: true });
  let document: OpenApiDocument | null = null;
  router.get('/openapi.json', (req, res) => {
    document ??= describe();
    // Relative to the mount point.
    sendJson(res, { ...document, servers: [{ url: req.baseUrl || '/' }] });
  });
  router.get('/docs', (_req, res) => {
    res.writeHead(200, { 'Content-Type': TYPES.html, 'Cache-Control': 'no-store' }).end(PAGE);
  });
  for (const file of PACKAGED)
    router.get(
      `/docs/${file}`,
      sendFile(() => join(packageFolder(), file)),
    );
  router.get(
    '/docs/start.js',
    sendFile(() => fileURLToPath(packageFile('dashboard/api/docs/start.js'))),
  );
  return router;
}

function packageFolder(): string {
  return join(dirname(createRequire(import.meta.url).resolve('@fastify/swagger-ui/package.json')), 'static');
}

function sendFile(path: () => string): RequestHandler {
  let content: Promise<Buffer> | null = null;
  return async (_req, res) => {
    const file = path();
    content ??= readFile(file);
    const bytes = await content;
    const type = file.endsWith('.css') ? TYPES.css : TYPES.js;
    res.writeHead(200, { 'Content-Type': type, 'Content-Length': bytes.length, 'Cache-Control': 'private, max-age=3600' }).end(bytes);
  };
}
