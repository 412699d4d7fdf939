/** Takes the screenshot of the Tasks page for the README: `npm run docs:screenshot`. */
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { serveBuilt } from './built-dashboard.js';
import { startChromium } from './chromium.js';

const FOLDER = join(import.meta.dirname, '../../../docs/images');
const CHAT = { name: 'chat.reply', queue: 'chat' };
const INDEX = { name: 'document.embed', queue: 'documents' };
const REPORT = { name: 'report.render', queue: 'reports' };

/** Tasks that run until the picture is taken, oldest first, with their progress. */
const RUNNING: readonly (readonly [task: typeof CHAT, id: string, item: string, progress: unknown])[] = [
  [REPORT, 'report-2026-q3', 'team:finance', 62],
  [INDEX, 'index-handbook', 'doc:handbook', { done: 184, total: 240 }],
  [INDEX, 'index-contracts', 'doc:contracts', { done: 31, total: 512 }],
  [CHAT, 'reply-7f31', 'chat:onboarding', null],
  [CHAT, 'reply-7f32', 'chat:onboarding', null],
  [CHAT, 'reply-80aa', 'chat:release-notes', 40],
];

const browser = await startChromium();
const fleet = await TestFleet.onOneServer();
const prefix = fleet.newPrefix();
const tasks = new Map([CHAT, INDEX, REPORT].map(({ name, queue }) => [name, new ScriptedTask(name, { queue })] as const));
await fleet.worker(
  prefix,
  [...tasks.values()].map(({ handler }) => handler),
  { concurrency: 4, stopGraceMs: 60_000 },
);
const producer = fleet.producer({ keyPrefix: prefix });
const dashboard = await serveBuilt(fleet.redis.url, prefix);
try {
  for (const [{ name }, id, item, progress] of RUNNING) {
    const task = tasks.get(name) as ScriptedTask;
    const next = task.call(task.calls.length);
    await producer.enqueue(task.definition, {}, { id, item });
    const call = await next;
    if (progress !== null) call.context.progress(progress as number);
  }
  const chat = (tasks.get(CHAT.name) as ScriptedTask).definition;
  await producer.enqueue(chat, {}, { id: 'reply-80ab', item: 'chat:release-notes', delay: 90_000 });
  // Its handler ignores the signal for now, so the page shows a stop in progress.
  await producer.stop('reply-7f32', { reason: 'changed my mind', by: 'olga' });

  const page = await browser.newPage({ viewport: { width: 1_200, height: 620 }, colorScheme: 'light', reducedMotion: 'reduce' });
  await page.goto(dashboard.url);
  await page.getByLabel('Token').fill(dashboard.tokens.operator);
  await page.getByRole('button', { name: 'Sign in' }).click();
  for (const [, id] of RUNNING) await page.locator(`tr[data-id="${id}"]`).waitFor();
  await page.locator('tr[data-id="index-handbook"]').getByText('184 of 240').waitFor();
  await mkdir(FOLDER, { recursive: true });
  // Worker ids begin with the host name, which says nothing to readers.
  const host = JSON.stringify(hostname());
  await page.evaluate(`for (const element of document.querySelectorAll('td *, td'))
    if (element.childElementCount === 0) element.textContent = element.textContent.replace(${host}, 'node-1')`);
  await page.screenshot({ path: join(FOLDER, 'tasks.png'), fullPage: true });
} finally {
  for (const { calls } of tasks.values()) for (const call of calls) call.returns();
  await browser.close();
  await dashboard.close();
  await fleet.stop();
}
