import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { installExample } from '../../support/examples/example.js';
import { startTestRedis } from '../../support/redis/test-redis.js';
import { Watched, noChromium, startChromium } from '../browser/support/chromium.js';
import { ChatPage, checkLines } from './chat-page.js';

// The AI SDK asks for Node 22.
const [redis, example] = await Promise.all([startTestRedis(), installExample({ after }, 'chat', { node: 22 })]);
after(() => redis.stop());

/** Starts an instance of the service: server, worker and model. Resolves with its URL. */
async function startInstance(): Promise<string> {
  const started = example.start('npm', ['start'], { REDIS_URL: redis.url, PORT: '0', WORDS_PER_SECOND: '25' });
  const [, url = ''] = await started.waitForLine(/Chat at (http:\S+)/);
  return url;
}

test('the example compiles against the AI SDK, and its own tests pass', async () => {
  await Promise.all([example.run('npm', ['run', 'typecheck']), example.run('npm', ['test'])]);
});

test('answers survive reloads, and a stop lands from every tab and instance', { skip: noChromium }, async (t) => {
  const browser = await startChromium();
  t.after(() => browser.close());
  const [one, two] = await Promise.all([startInstance(), startInstance()]);
  const context = await browser.newContext({ viewport: { width: 390, height: 844 } });
  const watched = new Watched(one);
  const first = new ChatPage(await watched.open(context));

  // The long answers take minutes, so that each is stopped in the middle, on a busy machine too. Send, and reload.
  await first.open(`${one}/?chat=c1`);
  await first.send('Tell me 600 things');
  await first.reached(3);
  await first.open(`${one}/?chat=c1`);
  await first.reached(8);
  checkLines(await first.answer());

  // Stop after the reload.
  await first.stop();
  await first.status('ready');
  const kept = await first.answer();
  assert.ok(checkLines(kept) < 600);

  // Send again; a tab of the other instance takes the answer up, and stops it.
  await first.send('Tell me 601 things');
  await first.reached(2);
  const elsewhere = new Watched(two);
  const second = new ChatPage(await elsewhere.open(context));
  await second.open(`${two}/?chat=c1`);
  await second.reached(6);
  await second.stop();
  await Promise.all([first.status('ready'), second.status('ready')]);
  assert.equal(await second.answer(), await first.answer());
  assert.ok(checkLines(await first.answer()) < 601);

  // Two tabs: the question of one stops the answer in the other.
  await first.send('Tell me 602 things');
  await first.reached(2);
  await second.send('Tell me 4 things');
  await second.reached(4);
  await Promise.all([first.status('ready'), second.status('ready')]);
  assert.equal(checkLines(`${await second.answer()}\n`), 3);
  assert.ok(checkLines(await first.answer()) < 602);

  // A page that is loaded later shows all of it, the stopped answers too.
  await first.open(`${one}/?chat=c1`);
  await first.reached(4);
  assert.deepEqual(await first.questions(), ['Tell me 600 things', 'Tell me 601 things', 'Tell me 602 things', 'Tell me 4 things']);
  assert.equal((await first.page.locator('article.assistant').allInnerTexts())[0], kept);
  assert.equal(await first.page.evaluate<boolean>('document.documentElement.scrollWidth <= innerWidth'), true, 'it fits a phone');
  assert.deepEqual([...watched.problems, ...elsewhere.problems], []);
});
