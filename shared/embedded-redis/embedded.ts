import { mkdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FleetError, messageOf } from '../errors.js';
import type { Logger } from '../log/logger.js';
import { byHolderOf } from '../process/port-holder.js';
import { ForeignServer, HeldServer, lockServer } from './held-server.js';
import { type ProcessIdentity, identifyProcess, isRunning } from './process-identity.js';
import { type Machine, ensureRedisServer } from './server-binary.js';
import { freePort, isPortFree, probeServer, spawnServer, waitUntilServing } from './server-process.js';
import { Announcement, readState, serverOf, urlOf, writeState } from './server-state.js';

export interface EmbeddedRedisOptions {
  /** The data folder, for example `.taskfleet/redis`; created with mode 0700 if it does not exist. */
  readonly dir: string;
  /** The port to use if it is free; else the operating system chooses one. */
  readonly preferredPort: number;
  /** Where to look for redis-server, as a PATH value. */
  readonly path: string;
  /** Prints a line for the user, about an installation or a restart of the server. */
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** Timeout for the server to load its data and answer, in ms. Default 60,000. */
  readonly startTimeoutMs?: number;
  /** Time from SIGTERM to SIGKILL, in ms. Default 10,000. */
  readonly stopTimeoutMs?: number;
  /** Aborts a start in progress, and stops its server. */
  readonly signal?: AbortSignal;
  /** The installer's view of the machine. Default: this machine. */
  readonly machine?: Machine;
}

export interface EmbeddedRedis {
  readonly url: string;
  readonly port: number;
  /** The current server's pid, which changes with a restart. */
  readonly pid: number;
  /** Pids of other processes that already used the server; empty if this process started it, or found it abandoned. */
  readonly sharedWith: readonly number[];
  /** Resolves with the reason once the server has ended and cannot be restarted. */
  readonly lost: Promise<Error>;
  /**
   * Releases the server; the last process to do so stops it, with SIGTERM, on which Redis flushes its append-only file, and
   * SIGKILL after `stopTimeoutMs`. Resolves when the server has exited. May be called again.
   */
  stop(): Promise<void>;
}

/**
 * Every write is on disk within a second, and nothing is evicted. Jobs with inputs and options up to 512 bytes each are stored compactly, in
 * half the memory; the name of the option is older than Redis 7, which knows it too.
 */
const SERVER_ARGS = [
  ...['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'],
  ...['--hash-max-ziplist-value', '512'],
];
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const MAX_PORT_ATTEMPTS = 5;

/**
 * Starts a redis-server on a data folder, or attaches to the running one: a folder has at most one. The server runs until its
 * last user stops it, and is restarted if it exits before that.
 *
 * The server outlives users that were killed, so that the others keep Redis. The next process to start it finds it through
 * `server.json`.
 *
 * @throws FleetError `REDIS_SERVER_MISSING` if no redis-server is found or can be installed; `REDIS_SERVER_FAILED` if it does
 * not start, with the end of its log, or if the folder is not writable; the reason of `signal`
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const dir = await prepareFolder(options.dir);
  const home: Home = { startTimeoutMs: START_TIMEOUT_MS, stopTimeoutMs: STOP_TIMEOUT_MS, ...options, dir };
  // Before the lock: an installation takes too long for others to wait.
  const binary = (await findRunningEmbeddedRedis(dir)) === null ? await ensureRedisServer(options) : null;
  const lockTimeoutMs = 2 * home.startTimeoutMs;
  const unlock = await lockServer(dir, lockTimeoutMs);
  if (unlock === null) throw failed(`Another process has been starting a redis-server in ${dir} for more than ${lockTimeoutMs} ms`);
  try {
    options.signal?.throwIfAborted();
    const serving = (await findServing(home)) ?? (await startNew(home, binary ?? (await ensureRedisServer(options))));
    return await hold(home, serving);
  } finally {
    await unlock();
  }
}

/** Returns the running server of a data folder, which may still be loading its data; null if there is none. */
export async function findRunningEmbeddedRedis(dir: string): Promise<{ url: string; pid: number; port: number } | null> {
  const state = await readState(dir);
  if (state === null) return null;
  const facts = await probeServer(state.port);
  if (facts === null || facts.dir !== (await realpath(dir).catch(() => null))) return null;
  return { url: state.url, pid: facts.pid, port: state.port };
}

type Home = EmbeddedRedisOptions & { readonly startTimeoutMs: number; readonly stopTimeoutMs: number };

interface Serving {
  readonly server: ProcessIdentity;
  readonly port: number;
}

/** Creates the folder and checks that files can be written to it. */
async function prepareFolder(given: string): Promise<string> {
  try {
    await mkdir(given, { recursive: true, mode: 0o700 });
    const dir = await realpath(given);
    const probe = await Announcement.prepare(join(dir, 'writable'));
    await probe.make();
    await probe.withdraw();
    return dir;
  } catch (error) {
    throw failed(
      `Cannot write to Redis' data folder ${resolve(given)} (${messageOf(error)}). Make it writable, run in another folder, ` +
        'or set REDIS_URL',
    );
  }
}

async function hold(home: Home, { server, port }: Serving): Promise<HeldServer> {
  const { dir, logger, say, stopTimeoutMs } = home;
  const holder = await Announcement.prepare(join(dir, 'holder'));
  const sharedWith = [...new Set((await holder.others()).map(({ pid }) => pid))];
  await holder.make();
  if (sharedWith.length > 0)
    logger.info({ url: urlOf(port), pid: server.pid, sharedWith }, 'Attached to the redis-server of another process');
  const serveAgain = async (signal: AbortSignal): Promise<ProcessIdentity> => {
    const again = { ...home, signal };
    const found = (await findServing(again)) ?? (await launch(again, await ensureRedisServer(home), port));
    if (found === null || found.port !== port) {
      const [by, answers] = await Promise.all([byHolderOf(port), probeServer(port)]);
      const what = `Port ${port} of the embedded redis-server was taken${by === '' ? ' by another process' : by}`;
      const isForeign = answers !== null && answers.dir !== dir;
      throw new (isForeign ? ForeignServer : FleetError)('REDIS_SERVER_FAILED', `${what}. End that process and start again.`);
    }
    return found.server;
  };
  return new HeldServer({ dir, port, server, holder, sharedWith, serveAgain, say, logger, stopTimeoutMs });
}

/** Returns the server in the folder's state file once it answers; null if it is not running. */
async function findServing({ dir, startTimeoutMs, signal }: Home): Promise<Serving | null> {
  const state = await readState(dir);
  if (state === null) return null;
  const recorded = serverOf(state);
  const isAlive = async (): Promise<boolean> => recorded !== null && (await isRunning(recorded));
  if ((await probeServer(state.port))?.dir !== dir && !(await isAlive())) return null;
  // Keep a reference: Node 20 garbage-collects a timeout that only AbortSignal.any() refers to.
  const tooLate = AbortSignal.timeout(startTimeoutMs);
  const facts = await waitUntilServing(state.port, dir, signal ? AbortSignal.any([tooLate, signal]) : tooLate);
  const server = facts && (await identifyProcess(facts.pid));
  if (server) {
    if (server.pid !== state.pid) await writeState(dir, { port: state.port, url: state.url, ...server });
    return { server, port: state.port };
  }
  if (!(await isAlive())) return null;
  // Never start a second server on the same files, even if the first does not answer.
  const since = tooLate.aborted ? ` within ${startTimeoutMs} ms` : '';
  throw failed(`The redis-server with pid ${state.pid} serves ${dir}, but does not answer on port ${state.port}${since}`);
}

async function startNew(home: Home, binary: string): Promise<Serving> {
  for (let attempt = 1; attempt <= MAX_PORT_ATTEMPTS; attempt += 1) {
    const preferred = attempt === 1 && (await isPortFree(home.preferredPort));
    const serving = await launch(home, binary, preferred ? home.preferredPort : await freePort());
    // Null: another process took the port after the check.
    if (serving === null) continue;
    const { preferredPort: wanted } = home;
    if (serving.port !== wanted)
      home.say(`Port ${wanted} is in use${await byHolderOf(wanted)}; Redis uses ${serving.port}. To choose one: EMBEDDED_REDIS_PORT.`);
    return serving;
  }
  throw failed(`redis-server lost ${MAX_PORT_ATTEMPTS} ports in a row to other processes`);
}

/** Null if another process has the port. */
async function launch({ dir, logger, startTimeoutMs, signal }: Home, binary: string, port: number): Promise<Serving | null> {
  const state = { port, url: urlOf(port) };
  // Written before the spawn: if this process is killed right after it, the next one finds the server by its port.
  await writeState(dir, { ...state, pid: null, started: null });
  const recordServer = async (pid: number): Promise<void> => {
    const server = await identifyProcess(pid);
    if (server !== null) await writeState(dir, { ...state, ...server });
  };
  const child = await spawnServer({ binary, dir, port, args: SERVER_ARGS, startTimeoutMs, onSpawn: recordServer, signal });
  const server = child?.pid === undefined ? null : await identifyProcess(child.pid);
  if (server === null) return null;
  logger.info({ url: state.url, pid: server.pid, dir }, 'Redis-server started');
  return { server, port };
}

function failed(message: string): FleetError {
  return new FleetError('REDIS_SERVER_FAILED', `${message}.`);
}
