import { mkdir, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { FleetError, messageOf } from '../errors.js';
import type { Logger } from '../logger.js';
import type { Machine } from './machine.js';
import { Announcement } from './announcement.js';
import { HeldServer, lockServer } from './held-server.js';
import { type ProcessIdentity, identifyProcess, isRunning } from './process-identity.js';
import { ensureRedisServer } from './server-binary.js';
import { probeServer, waitUntilServing } from './server-probe.js';
import { freePort, isPortFree, spawnServer } from './server-process.js';
import { readState, serverOf, urlOf, writeState } from './server-state.js';

export interface EmbeddedRedisOptions {
  /** The data folder, for example `.taskfleet/redis`; made with mode 0700 if it does not exist. */
  readonly dir: string;
  /** The port to take if it is free; else the operating system chooses one. */
  readonly preferredPort: number;
  /** A PATH value: where to look for redis-server. */
  readonly path: string;
  /** Gets the lines that a person should see: an installation, a server that ended and runs again. */
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** How long the server may take to read its data and answer, in ms. Default 60,000. */
  readonly startTimeoutMs?: number;
  /** How long the server may take to end upon SIGTERM before it is killed, in ms. Default 10,000. */
  readonly stopTimeoutMs?: number;
  /** Ends a start that is under way, and the server with it. */
  readonly signal?: AbortSignal;
  /** What the installer asks of the machine. Default: the one that this runs on. */
  readonly machine?: Machine;
}

export interface EmbeddedRedis {
  readonly url: string;
  readonly port: number;
  /** Of the server as it is now: it is another one after a restart. */
  readonly pid: number;
  /** The ids of other processes that used the server already when this one came; empty if this one started it, or found it left behind. */
  readonly sharedWith: readonly number[];
  /** Resolves with the reason once the server has ended and could not be started again. */
  readonly lost: Promise<Error>;
  /**
   * Leaves the server. The last process to leave it ends it: SIGTERM, upon which it flushes its append-only file, and SIGKILL
   * after `stopTimeoutMs`; resolves when it is gone. May be called again.
   */
  stop(): Promise<void>;
}

/** Every write is in the file within a second, and none is dropped for want of memory. */
const SERVER_ARGS = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const MAX_PORT_ATTEMPTS = 5;

/**
 * Starts a redis-server on a data folder, or attaches to the one that serves it. At most one serves a folder. It serves
 * until the last process that uses it has stopped it, and is started again should it end before.
 *
 * The server outlives processes that were killed: to lose the fleet must not be to lose Redis for everybody who is
 * attached. The next process that starts it finds it through `server.json`.
 *
 * @throws FleetError `REDIS_SERVER_MISSING` if there is none and it cannot be installed; `REDIS_SERVER_FAILED` if it does
 * not start, with the end of its log, or if its folder cannot be written; the reason of `signal`
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  const dir = await prepareFolder(options.dir);
  const home: Home = { startTimeoutMs: START_TIMEOUT_MS, stopTimeoutMs: STOP_TIMEOUT_MS, ...options, dir };
  // Before the lock: an installation takes longer than others should have to wait for it.
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

/** The server that serves a data folder now, whoever uses it. It may still be reading its data. Null if there is none. */
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

/** Makes the folder, and tries what the lock and the state will need. */
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
      `The folder ${resolve(given)}, for the data of Redis, cannot be written (${messageOf(error)}). Make it writable, run in another folder, or set REDIS_URL`,
    );
  }
}

async function hold(home: Home, { server, port }: Serving): Promise<HeldServer> {
  const { dir, logger, say, stopTimeoutMs } = home;
  const holder = await Announcement.prepare(join(dir, 'holder'));
  const sharedWith = [...new Set((await holder.others()).map(({ pid }) => pid))];
  await holder.make();
  if (sharedWith.length > 0)
    logger.info({ url: urlOf(port), pid: server.pid, sharedWith }, 'attached to the redis-server of another process');
  const serveAgain = async (signal: AbortSignal): Promise<ProcessIdentity> => {
    const again = { ...home, signal };
    const found = (await findServing(again)) ?? (await launch(again, await ensureRedisServer(home), port));
    if (found === null || found.port !== port) throw failed(`Port ${port}, where everybody looks for Redis, is taken`);
    return found.server;
  };
  return new HeldServer({ dir, port, server, holder, sharedWith, serveAgain, say, logger, stopTimeoutMs });
}

/** The server of the folder's state file, once it answers, if it lives: the process that started it may have died meanwhile. Null if there is none. */
async function findServing({ dir, startTimeoutMs, signal }: Home): Promise<Serving | null> {
  const state = await readState(dir);
  if (state === null) return null;
  const recorded = serverOf(state);
  const isAlive = async (): Promise<boolean> => recorded !== null && (await isRunning(recorded));
  if ((await probeServer(state.port))?.dir !== dir && !(await isAlive())) return null;
  // Referred to until the end: Node 20 forgets a timeout that only AbortSignal.any() knows.
  const tooLate = AbortSignal.timeout(startTimeoutMs);
  const facts = await waitUntilServing(state.port, dir, signal ? AbortSignal.any([tooLate, signal]) : tooLate);
  const server = facts && (await identifyProcess(facts.pid));
  if (server) {
    if (server.pid !== state.pid) await writeState(dir, { port: state.port, url: state.url, ...server });
    return { server, port: state.port };
  }
  if (!(await isAlive())) return null;
  // Not answering is no reason to start a second one on the same files.
  const since = tooLate.aborted ? ` within ${startTimeoutMs} ms` : '';
  throw failed(`The redis-server with pid ${state.pid} serves ${dir}, but does not answer on port ${state.port}${since}`);
}

async function startNew(home: Home, binary: string): Promise<Serving> {
  for (let attempt = 1; attempt <= MAX_PORT_ATTEMPTS; attempt += 1) {
    const preferred = attempt === 1 && (await isPortFree(home.preferredPort));
    const serving = await launch(home, binary, preferred ? home.preferredPort : await freePort());
    // Null: the port was free when we looked, and somebody else was faster.
    if (serving !== null) return serving;
  }
  throw failed(`redis-server lost ${MAX_PORT_ATTEMPTS} ports in a row to other processes`);
}

/** Null if another process has the port. */
async function launch({ dir, logger, startTimeoutMs, signal }: Home, binary: string, port: number): Promise<Serving | null> {
  const state = { port, url: urlOf(port) };
  // Before there is a process: should we be killed right after the start, the next finds the server by its port.
  await writeState(dir, { ...state, pid: null, started: null });
  const recordServer = async (pid: number): Promise<void> => {
    const server = await identifyProcess(pid);
    if (server !== null) await writeState(dir, { ...state, ...server });
  };
  const child = await spawnServer({ binary, dir, port, args: SERVER_ARGS, startTimeoutMs, onSpawn: recordServer, signal });
  const server = child?.pid === undefined ? null : await identifyProcess(child.pid);
  if (server === null) return null;
  logger.info({ url: state.url, pid: server.pid, dir }, 'redis-server started');
  return { server, port };
}

function failed(message: string): FleetError {
  return new FleetError('REDIS_SERVER_FAILED', `${message}.`);
}
