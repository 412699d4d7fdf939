import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { FleetError, messageOf } from '../../shared/errors.js';
import { type ServerFacts, waitUntilServing } from './server-probe.js';

export interface SpawnOptions {
  /** The redis-server command. */
  readonly binary: string;
  /** The data folder: absolute, symbolic links resolved. */
  readonly dir: string;
  readonly port: number;
  /** More arguments, such as `--appendonly yes`. */
  readonly args: readonly string[];
  readonly startTimeoutMs: number;
  /** Called once the process exists, before it answers. */
  readonly onSpawn?: (pid: number) => Promise<void>;
  /** Aborts the start, and kills the server. */
  readonly signal?: AbortSignal | undefined;
}

const LOG_FILE = 'redis.log';
const SHOWN_LOG_BYTES = 2_048;
/** EADDRINUSE as glibc, macOS and musl word it: the exit code of redis-server does not tell failures apart. */
const PORT_TAKEN = /Address (?:already )?in use/;

/**
 * Starts a redis-server on 127.0.0.1 in its own session, so that Ctrl+C in the terminal does not reach it, and waits until it
 * answers and has loaded its data. It logs to `redis.log` in `dir`, and does not keep this process alive.
 * @returns null if another process has the port
 * @throws FleetError `REDIS_SERVER_FAILED` with the end of the log if the server exits, or does not answer in time and is killed;
 * the reason of `signal`
 */
export async function spawnServer(options: SpawnOptions): Promise<ChildProcess | null> {
  const { binary, dir, port, startTimeoutMs } = options;
  const log = join(dir, LOG_FILE);
  const logStart = await sizeOf(log);
  const fixed = ['--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--daemonize', 'no', '--logfile', log];
  const child = spawn(binary, [...fixed, ...options.args], { cwd: dir, detached: true, stdio: 'ignore' });
  const ended = new AbortController();
  child.once('exit', () => ended.abort()).once('error', (error) => ended.abort(error));
  const tooLate = AbortSignal.timeout(startTimeoutMs);
  let facts: ServerFacts | null = null;
  try {
    if (child.pid !== undefined) await options.onSpawn?.(child.pid);
    facts = await waitUntilServing(port, dir, AbortSignal.any([ended.signal, tooLate, ...(options.signal ? [options.signal] : [])]));
  } finally {
    if (facts === null && child.pid !== undefined && !ended.signal.aborted) await kill(child);
  }
  if (facts !== null) {
    child.unref();
    return child;
  }
  options.signal?.throwIfAborted();
  const tail = await tailOf(log, logStart);
  if (PORT_TAKEN.test(tail)) return null;
  const why = tooLate.aborted ? `did not serve ${dir} within ${startTimeoutMs} ms` : howItEnded(child, ended.signal);
  throw new FleetError('REDIS_SERVER_FAILED', `${binary} ${why}. The end of ${log}:\n${tail}`, {
    details: { binary, dir, port, code: child.exitCode, signal: child.signalCode },
  });
}

/** True if the port of 127.0.0.1 is free, which may change at any moment. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await listenOnce(port)) !== null;
}

/** Returns a free port of 127.0.0.1, chosen by the operating system. */
export async function freePort(): Promise<number> {
  const port = await listenOnce(0);
  if (port === null) throw new FleetError('REDIS_SERVER_FAILED', 'The operating system has no free port on 127.0.0.1.');
  return port;
}

function listenOnce(port: number): Promise<number | null> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(null));
    server.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      const { port: bound } = server.address() as AddressInfo;
      server.close(() => resolve(bound));
    });
  });
}

async function kill(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

function howItEnded(child: ChildProcess, ended: AbortSignal): string {
  if (child.pid === undefined) return `could not be started (${messageOf(ended.reason)})`;
  return `exited with ${child.signalCode ?? `code ${child.exitCode}`} before it answered`;
}

async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => null))?.size ?? 0;
}

/** Returns the last lines written to a file after its first `start` bytes, indented. */
async function tailOf(file: string, start: number): Promise<string> {
  const handle = await open(file).catch(() => null);
  if (handle === null) return '  (no log)';
  try {
    const { size } = await handle.stat();
    const from = Math.max(start, size - SHOWN_LOG_BYTES);
    const { buffer, bytesRead } = await handle.read({ buffer: Buffer.alloc(size - from), position: from });
    const lines = buffer.toString('utf8', 0, bytesRead).trimEnd().split('\n');
    return lines.map((line) => `  ${line}`).join('\n');
  } finally {
    await handle.close();
  }
}
