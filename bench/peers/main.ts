/** `npm run bench:peers`: installs the compared packages, then runs the benchmark with the pinned Node.js. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { HELP, parseOptions } from './options.js';
import { benchNode, installPackages } from './servers/install.js';

const args = process.argv.slice(2);
try {
  if (parseOptions(args) === null) console.log(HELP);
  else {
    installPackages((line) => console.error(line));
    await runWith(benchNode());
  }
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

/** Runs the benchmark to its end. The IPC channel tells it when this process ends, however it ends. */
async function runWith(node: string): Promise<void> {
  const program = fileURLToPath(new URL('./run/main.ts', import.meta.url));
  const child = spawn(node, ['--import', 'tsx', program, ...args], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  // Ctrl+C reaches both: this process waits until the servers are down.
  process.on('SIGINT', () => undefined);
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.exitCode = await new Promise<number>((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1));
  });
}
