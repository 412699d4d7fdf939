/** `npm run soak`: see USAGE in options.ts. Runs its own copy of the build, so that a build meanwhile changes nothing. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { buildTests } from '../../support/runner/build-tests.js';
import { USAGE, UsageError, parseOptions } from './options.js';

/** npm repeats a signal that the terminal has sent to the whole group. */
const SAME_SIGNAL_MS = 1_000;

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === null) console.log(USAGE);
  else if (!existsSync('/proc/self/net/tcp'))
    throw new Error('The soak reads memory and connections of processes from /proc: it needs Linux');
  else await run(JSON.stringify(options));
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else throw error;
}

async function run(options: string): Promise<void> {
  const [file] = (await buildTests(['test/slow/soak/run.ts', 'test/slow/soak/load/client-process.ts'])) as [string, string];
  // In its own group: Ctrl+C reaches this process alone, which then ends the load.
  const child = spawn(process.execPath, ['--enable-source-maps', file, options], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  let askedAt: number | null = null;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (askedAt === null) {
        askedAt = performance.now();
        child.send('end');
      } else if (performance.now() - askedAt > SAME_SIGNAL_MS) child.kill('SIGKILL'); // its children end with it
    });
  }
  const [code] = (await once(child, 'exit')) as [number | null];
  process.exitCode = code ?? 1;
}
