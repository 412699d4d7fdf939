import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, stat } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { FleetError, messageOf } from '../errors.js';

/** The facts that a server on a loopback port reports. */
interface ServerFacts {
  readonly pid: number;
  /** The data folder, symbolic links resolved. */
  readonly dir: string;
  /** True while it loads its data from disk, when commands on keys fail. */
  readonly loading: boolean;
}

const ANSWER_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;

/** Probes a port of 127.0.0.1. Null if there is no Redis, it does not answer within 2 s, or it does not report these facts. */
export async function probeServer(port: number): Promise<ServerFacts | null> {
  const redis = new Redis({
    ...{ host: '127.0.0.1', port, protocol: 2, lazyConnect: true, enableReadyCheck: false },
    ...{ retryStrategy: () => null, disableClientInfo: true, connectTimeout: ANSWER_TIMEOUT_MS, commandTimeout: ANSWER_TIMEOUT_MS },
  });
  // connect() rejects with the same error.
  redis.on('error', () => undefined);
  try {
    await redis.connect();
    const [info, config] = await Promise.all([redis.info(), redis.config('GET', 'dir')]);
    const dir = config[1];
    const pid = Number(/^process_id:(\d+)/m.exec(info)?.[1]);
    return dir === undefined || !pid ? null : { pid, dir, loading: /^loading:1/m.test(info) };
  } catch {
    return null;
  } finally {
    redis.disconnect();
  }
}

/**
 * Waits until the server of `dir` answers on a port and has loaded its data.
 * @returns null as soon as `signal` is aborted
 */
export async function waitUntilServing(port: number, dir: string, signal: AbortSignal): Promise<ServerFacts | null> {
  while (!signal.aborted) {
    const facts = await probeServer(port);
    if (facts?.dir === dir && !facts.loading) return facts;
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
  return null;
}

interface SpawnOptions {
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
