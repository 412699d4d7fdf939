import { existsSync } from 'node:fs';
import { type Browser, type BrowserContext, type Page, chromium } from 'playwright-core';

const PATH = '/usr/bin/chromium';
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** For each step on a page: long, for a busy machine. */
export const PAGE_LIMIT_MS = 180_000;

/** The reason to skip browser tests, or false. In CI they are never skipped: without Chromium they fail. */
export const noChromium: string | false =
  existsSync(PATH) || process.env['CI'] === 'true' ? false : `SKIPPED: no Chromium at ${PATH}; on Debian: apt-get install chromium`;

/** Starts headless Chromium with an empty profile. */
export function startChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: PATH, headless: true, args: QUIET, timeout: 120_000 });
}

/** Bull Board's page preloads scripts; a busy machine uses them later than Chromium expects. */
const LATE_PRELOAD = /was preloaded using link preload but not used within a few seconds/;

/** Records forbidden requests and errors of pages. */
export class Watched {
  readonly problems: string[] = [];
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async open(context: BrowserContext): Promise<Page> {
    const page = await context.newPage();
    page.setDefaultTimeout(PAGE_LIMIT_MS);
    page.on('request', (request) => {
      if (!request.url().startsWith(`${this.#origin}/`) && !request.url().startsWith('data:'))
        this.problems.push(`request to ${request.url()}`);
    });
    page.on('console', (message) => {
      if (LATE_PRELOAD.test(message.text())) return;
      if (message.type() === 'error' || message.type() === 'warning')
        this.problems.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => this.problems.push(`uncaught: ${error.stack ?? error.message}`));
    return page;
  }
}
