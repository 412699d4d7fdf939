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

/** Why there is no browser to test with; false if there is one. In CI there must be one, so the tests run and fail. */
export const noChromium: string | false =
  existsSync(PATH) || process.env['CI'] === 'true' ? false : `SKIPPED: no Chromium at ${PATH}; on Debian: apt-get install chromium`;

/** Chromium without a window, with a new empty profile. */
export function startChromium(): Promise<Browser> {
  return chromium.launch({ executablePath: PATH, headless: true, args: QUIET, timeout: 30_000 });
}

/** What pages did that they must not do. */
export class Watched {
  readonly problems: string[] = [];
  readonly #origin: string;

  constructor(origin: string) {
    this.#origin = origin;
  }

  async open(context: BrowserContext): Promise<Page> {
    const page = await context.newPage();
    page.setDefaultTimeout(15_000);
    page.on('request', (request) => {
      if (!request.url().startsWith(`${this.#origin}/`) && !request.url().startsWith('data:'))
        this.problems.push(`request to ${request.url()}`);
    });
    page.on('console', (message) => {
      if (message.type() === 'error' || message.type() === 'warning')
        this.problems.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on('pageerror', (error) => this.problems.push(`uncaught: ${error.stack ?? error.message}`));
    return page;
  }
}
