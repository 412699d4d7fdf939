/** Takes screenshots of every page at three widths, dark and light, into a folder: `npm run docs:gallery -- [folder] [page…]`. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SCREENSHOTS } from '../support/check-page.js';
import { startChromium } from '../support/chromium.js';
import { openAs } from './open-as.js';
import { startSampleFleet } from './sample-fleet.js';

const WIDTHS = [390, 1_024, 1_440] as const;
const SCHEMES = ['light', 'dark'] as const;
const HEIGHT = 900;

const [folder = join(SCREENSHOTS, 'gallery'), ...only] = process.argv.slice(2);
await mkdir(folder, { recursive: true });
const browser = await startChromium();
const sample = await startSampleFleet();
try {
  const { context, page } = await openAs(browser, sample.dashboard, 'admin');
  for (const [name, path] of sample.pages.filter(([one]) => only.length === 0 || only.includes(one))) {
    await page.goto(sample.dashboard.url + path);
    await page.locator('#link[data-state="live"], p#retry').first().waitFor();
    await page.waitForTimeout(1_500);
    for (const width of WIDTHS)
      for (const colorScheme of SCHEMES) {
        await page.setViewportSize({ width, height: HEIGHT });
        await page.emulateMedia({ colorScheme });
        // Charts follow the width a frame later.
        await page.waitForTimeout(250);
        await page.screenshot({ path: join(folder, `${name}-${width}-${colorScheme}.png`) });
      }
  }
  await context.close();
} finally {
  await browser.close();
  await sample.stop();
}
console.log(folder);
