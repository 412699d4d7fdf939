#!/usr/bin/env node
import { runCommand } from './program.js';

const { argv, env, stdin, stdout, stderr } = process;
const log = { pretty: stderr.isTTY };
const code = await runCommand(argv.slice(2), {
  stdin,
  stdout,
  stderr,
  env,
  cwd: process.cwd(),
  script: argv[1] ?? null,
  log,
  host: process,
  exitCode: 0,
});
// Exits once the output is flushed, even if a loaded task module keeps handles open.
await new Promise((resolve) => stdout.write('', resolve));
process.exit(code);
