/** `npm run demo`: starts a fleet on this machine, gives it work, stops some of it and kills a worker. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Command } from 'commander';
import { createProducer } from '../../producer/index.js';
import { Fleet, type FleetUrls } from './fleet.js';
import { startOpenAiServer } from './openai-server.js';
import { Screen } from './screen.js';
import { Show } from './show.js';

const START_LIMIT_MS = 180_000;
const LONGEST_SHOW_MS = 300_000;
const EXIT = { HELD: 0, DID_NOT_HOLD: 1, USAGE: 2, INTERRUPTED: 130 } as const;

const program = new Command('npm run demo --')
  .description('Runs a fleet on this machine: chats, a batch, stops, a killed worker. Then it stays up until Ctrl+C.')
  .option('--exit', 'end after the show; the exit code is 0 if everything held, else 1')
  .showHelpAfterError()
  .exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? EXIT.HELD : EXIT.USAGE));
const { exit = false } = program.parse().opts<{ exit?: boolean }>();

const interrupt = new AbortController();
let fleet: Fleet | null = null;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
  process.on(signal, () => {
    // The second Ctrl+C does not wait for running tasks.
    if (interrupt.signal.aborted) void fleet?.stop();
    interrupt.abort();
  });
process.stdout.on('error', () => interrupt.abort());
process.exitCode = await main(new Screen(process.stdout));

async function main(screen: Screen): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'taskfleet-demo-'));
  const openAi = await startOpenAiServer();
  screen.say('A fleet starts: Redis, two workers, a dashboard; and a local OpenAI-like server', 'bold');
  fleet = new Fleet(folder, openAi.url, (line) => screen.say(`  ${line}`, 'dim'));
  let code: number = EXIT.INTERRUPTED;
  try {
    const urls = await Promise.race([fleet.ready, aborted(interrupt.signal), aborted(AbortSignal.timeout(START_LIMIT_MS))]);
    code = await perform(urls, screen, () => openAi.openStreams());
    if (!exit) await aborted(interrupt.signal);
  } catch (error) {
    if (!interrupt.signal.aborted) {
      screen.say(`The demo failed: ${String(error)}`, 'red');
      code = EXIT.DID_NOT_HOLD;
    }
  }
  screen.say('\nShutting down …', 'dim');
  await fleet.stop();
  await openAi.stop();
  await rm(folder, { recursive: true, force: true });
  screen.say('The fleet has stopped; its folder is gone.');
  return code;
}

/** Runs the show and prints what held. Returns the exit code. @throws the reason of an interruption */
async function perform({ redisUrl, dashboardUrl }: FleetUrls, screen: Screen, openStreams: () => number): Promise<number> {
  const producer = createProducer({ redisUrl });
  try {
    const show = new Show(producer, screen);
    await Promise.race([show.run(), aborted(interrupt.signal), aborted(AbortSignal.timeout(LONGEST_SHOW_MS))]);
    await show.checkNone('open streams at the OpenAI-like server', openStreams);
    const { status } = await fetch(dashboardUrl);
    show.check(status === 200, `the pages at ${dashboardUrl} answer with ${status}`);
    screen.say('\nWhat held', 'bold');
    for (const { holds, text } of show.checks) screen.say(`  ${holds ? '✓' : '✗'} ${text}`, holds ? 'green' : 'red');
    if (!exit) screen.say(hints(redisUrl, dashboardUrl));
    return show.checks.every(({ holds }) => holds) ? EXIT.HELD : EXIT.DID_NOT_HOLD;
  } finally {
    screen.endBars();
    await producer.close();
  }
}

/** Rejects with the signal's reason once it is aborted. */
async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, 'abort');
  throw signal.reason as Error;
}

function hints(redisUrl: string, dashboardUrl: string): string {
  return `
The fleet stays up until you press Ctrl+C. Its pages: ${dashboardUrl}
In another terminal, in this folder:

  export REDIS_URL=${redisUrl}
  npx taskfleet task list --state cancelled
  npx taskfleet task enqueue fleet.canary --input '{"run_ms":60000}' --item mine
  npx taskfleet task stop --item mine --wait 5000`;
}
