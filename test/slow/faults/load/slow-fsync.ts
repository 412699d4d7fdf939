import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { reapAtExit } from '../../../support/process/reaper.js';

/**
 * Delays each fsync of a process for a while. Returns the number of delayed calls.
 * @throws an error without strace or the permission to trace
 */
export async function slowFsync(pid: number, byMs: number, forMs: number): Promise<number> {
  const inject = `inject=fsync,fdatasync:delay_enter=${byMs * 1_000}`;
  const tracer = spawn('strace', ['-f', '-qq', '-e', 'trace=fsync,fdatasync', '-e', inject, '-p', String(pid)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  if (tracer.pid !== undefined) reapAtExit(tracer.pid);
  let held = 0;
  createInterface({ input: tracer.stderr }).on('line', (line) => {
    if (line.includes('DELAYED')) held += 1;
  });
  const exit = once(tracer, 'exit');
  await delay(forMs);
  tracer.kill('SIGINT');
  await exit;
  if (held === 0) throw new Error('strace held up no fsync');
  return held;
}
