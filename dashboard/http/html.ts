import { readFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageFile } from '../../shared/package/package-file.js';

/**
 * Returns the folder of the pages' files, compiled by scripts/build.mjs from dashboard/page.
 * @throws FleetError `PACKAGE_FILE_MISSING` in a bundle
 */
export function pageFolder(): string {
  return fileURLToPath(packageFile('dashboard/page/'));
}

/** Returns an HTML file of the pages. */
export async function readHtml(name: string): Promise<string> {
  return (await readFile(join(pageFolder(), 'html', `${name}.html`), 'utf8')).trimEnd();
}

/** Replaces each `{{name}}` by its value, which must be HTML. */
export function fillIn(html: string, values: Readonly<Record<string, string>>): string {
  return html.replaceAll(/\{\{(\w+)\}\}/g, (_place, key: string) => values[key] ?? '');
}

/** Sends a page, which is never cached. */
export function sendHtml(res: ServerResponse, status: number, html: string, headers: Readonly<Record<string, string>> = {}): void {
  res
    .writeHead(status, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Length': Buffer.byteLength(html),
      'Cache-Control': 'no-store',
      ...headers,
    })
    .end(html);
}
