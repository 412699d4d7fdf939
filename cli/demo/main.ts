/**
 * `npm run demo`: a fleet on this machine, and a client that gives it work and stops some of it. This process owns Redis,
 * the workers and the local OpenAI server; the client is a process of its own.
 */
import { parseArgs } from 'node:util';
import { messageOf } from '../../shared/errors.js';
import { EXIT } from '../exit-codes.js';
import { Demo } from './demo.js';

const USAGE = `Usage: npm run demo -- [--exit]

Starts a Redis, two workers and a local OpenAI server, gives them work from a third process, stops some of it,
and shows what became of each task. Then it stays up, for you to try more, until Ctrl+C.

  --exit   shut down after the table; the exit code is 0 only if everything ended as it should
  --help   show this
`;

process.exitCode = await main();
await new Promise((resolve) => process.stdout.write('', resolve));
process.exit();

async function main(): Promise<number> {
  let options: { exit?: boolean | undefined; help?: boolean | undefined };
  try {
    options = parseArgs({ options: { exit: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } }).values;
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n\n${USAGE}`);
    return EXIT.USAGE;
  }
  if (options.help) {
    process.stdout.write(USAGE);
    return EXIT.DONE;
  }
  const [interrupted, hurry] = [new AbortController(), new AbortController()];
  const interrupt = (): void => {
    if (interrupted.signal.aborted) hurry.abort();
    interrupted.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt);
  // Nobody reads any more, as in `npm run demo | head`.
  process.stdout.on('error', () => interrupted.abort());
  try {
    const demo = new Demo({
      env: process.env,
      out: process.stdout,
      exit: options.exit ?? false,
      signal: interrupted.signal,
      hurry: hurry.signal,
    });
    return await demo.run();
  } catch (error) {
    process.stderr.write(`The demo failed: ${messageOf(error)}\n`);
    return EXIT.INTERNAL;
  }
}
