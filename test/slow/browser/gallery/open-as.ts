import type { Browser, BrowserContext, Page } from 'playwright-core';
import type { BuiltDashboard } from '../support/built-dashboard.js';
import { PAGE_LIMIT_MS } from '../support/chromium.js';

/** Opens a page of the dashboard, signed in. */
export async function openAs(
  browser: Browser,
  dashboard: BuiltDashboard,
  who: keyof BuiltDashboard['tokens'],
): Promise<{ readonly context: BrowserContext; readonly page: Page }> {
  const context = await browser.newContext({ viewport: { width: 1_440, height: 900 }, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(PAGE_LIMIT_MS);
  await page.goto(`${dashboard.url}sign-in`);
  await page.getByLabel('Token').fill(dashboard.tokens[who]);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(dashboard.url);
  return { context, page };
}
