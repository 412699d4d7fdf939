import { mkdir, realpath } from 'node:fs/promises';
import { FleetError } from '../errors.js';
import type { Logger } from '../logger.js';
import type { Machine } from './machine.js';
import { OwnedServer, lockServer } from './owned-server.js';
import { type ProcessIdentity, identifyProcess, identifyThisProcess, isRunning } from './process-identity.js';
import { ensureRedisServer } from './server-binary.js';
import { probeServer, waitUntilServing } from './server-probe.js';
import { freePort, isPortFree, spawnServer } from './server-process.js';
import { type ServerState, readState, serverOf, urlOf, writeState } from './server-state.js';

export interface EmbeddedRedisOptions {
  /** The data folder, for example `.taskfleet/redis`; made with mode 0700 if it does not exist. */
  readonly dir: string;
  /** The port to take if it is free; else the operating system chooses one. */
  readonly preferredPort: number;
  /** A PATH value: where to look for redis-server. */
  readonly path: string;
  /** Gets the line that a person should see while a redis-server is installed. */
  readonly say: (line: string) => void;
  readonly logger: Logger;
  /** How long the server may take to read its data and answer, in ms. Default 60,000. */
  readonly startTimeoutMs?: number;
  /** How long the server may take to end upon SIGTERM before it is killed, in ms. Default 10,000. */
  readonly stopTimeoutMs?: number;
  /** What the installer asks of the machine. Default: the one that this runs on. */
  readonly machine?: Machine;
}

export interface EmbeddedRedis {
  readonly url: string;
  readonly port: number;
  readonly pid: number;
  /** True if this process started the server, or took it over from an owner that had died. */
  readonly owned: boolean;
  /**
   * Ends an owned server: SIGTERM, upon which it flushes its append-only file, and SIGKILL after `stopTimeoutMs`. Resolves when the
   * process is gone; may be called again. Does nothing to a server that another process owns.
   */
  stop(): Promise<void>;
}

/** Every write is in the file within a second, and none is dropped for want of memory. */
const SERVER_ARGS = ['--appendonly', 'yes', '--appendfsync', 'everysec', '--save', '', '--maxmemory-policy', 'noeviction'];
const START_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 10_000;
const MAX_PORT_ATTEMPTS = 5;

/**
 * Starts a redis-server on a data folder, or attaches to the one that serves it. At most one serves a folder.
 *
 * The server outlives an owner that was killed: to lose the fleet must not be to lose Redis under everybody who is
 * attached. The next process that starts it finds it through `server.json`, and becomes its owner.
 *
 * @throws FleetError `REDIS_SERVER_MISSING` if there is none and it cannot be installed; `REDIS_SERVER_FAILED` if it does
 * not start, with the end of its log.
 */
export async function startEmbeddedRedis(options: EmbeddedRedisOptions): Promise<EmbeddedRedis> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 });
  const home: Home = { startTimeoutMs: START_TIMEOUT_MS, stopTimeoutMs: STOP_TIMEOUT_MS, ...options, dir: await realpath(options.dir) };
  // Before the lock: an installation takes longer than others should have to wait for it.
  const binary = (await findRunningEmbeddedRedis(home.dir)) === null ? await ensureRedisServer(options) : null;
  const lockTimeoutMs = 2 * home.startTimeoutMs;
  const unlock = await lockServer(home.dir, lockTimeoutMs);
  if (unlock === null) throw failed(`Another process has been starting a redis-server in ${home.dir} for more than ${lockTimeoutMs} ms`);
  try {
    return (await useRunning(home)) ?? (await startNew(home, binary ?? (await ensureRedisServer(options))));
  } finally {
    await unlock();
  }
}

/** The server that serves a data folder now, whoever owns it. It may still be reading its data. Null if there is none. */
export async function findRunningEmbeddedRedis(dir: string): Promise<{ url: string; pid: number; port: number } | null> {
  const state = await readState(dir);
  if (state === null) return null;
  const facts = await probeServer(state.port);
  if (facts === null || facts.dir !== (await realpath(dir).catch(() => null))) return null;
  return { url: state.url, pid: facts.pid, port: state.port };
}

type Home = EmbeddedRedisOptions & { readonly startTimeoutMs: number; readonly stopTimeoutMs: number };

/** Attaches to the folder's server, or takes it over if its owner is dead. Null if there is none. */
async function useRunning({ dir, logger, startTimeoutMs, stopTimeoutMs }: Home): Promise<EmbeddedRedis | null> {
  const state = await readState(dir);
  const server = state === null ? null : await awaitRecorded(dir, state, startTimeoutMs);
  if (state === null || server === null) return null;
  const { url, port, owner } = state;
  if (await isRunning(owner)) {
    logger.info({ url, pid: server.pid, owner: owner.pid }, 'attached to the redis-server of another process');
    return { url, port, pid: server.pid, owned: false, stop: () => Promise.resolve() };
  }
  await writeState(dir, { url, port, ...server, owner: await identifyThisProcess() });
  logger.info({ url, pid: server.pid, owner: owner.pid }, 'took over the redis-server of a process that has died');
  return new OwnedServer({ dir, port, server, logger, stopTimeoutMs });
}

/** Waits until the server of a state file answers, if it lives: its owner may have died while it was starting. */
async function awaitRecorded(dir: string, state: ServerState, timeoutMs: number): Promise<ProcessIdentity | null> {
  const recorded = serverOf(state);
  const isAlive = async (): Promise<boolean> => recorded !== null && (await isRunning(recorded));
  if ((await probeServer(state.port))?.dir !== dir && !(await isAlive())) return null;
  const facts = await waitUntilServing(state.port, dir, AbortSignal.timeout(timeoutMs));
  if (facts !== null) return identifyProcess(facts.pid);
  if (!(await isAlive())) return null;
  // Not answering is no reason to start a second one on the same files.
  throw failed(`The redis-server with pid ${state.pid} serves ${dir}, but does not answer on port ${state.port}`);
}

async function startNew(home: Home, binary: string): Promise<EmbeddedRedis> {
  for (let attempt = 1; attempt <= MAX_PORT_ATTEMPTS; attempt += 1) {
    const preferred = attempt === 1 && (await isPortFree(home.preferredPort));
    const server = await launch(home, binary, preferred ? home.preferredPort : await freePort());
    // Null: the port was free when we looked, and somebody else was faster.
    if (server !== null) return server;
  }
  throw failed(`redis-server lost ${MAX_PORT_ATTEMPTS} ports in a row to other processes`);
}

async function launch({ dir, logger, startTimeoutMs, stopTimeoutMs }: Home, binary: string, port: number): Promise<OwnedServer | null> {
  const state = { port, url: urlOf(port), owner: await identifyThisProcess() };
  // Before there is a process: should we be killed right after the start, the next finds the server by its port.
  await writeState(dir, { ...state, pid: null, started: null });
  const recordServer = async (pid: number): Promise<void> => {
    const server = await identifyProcess(pid);
    if (server !== null) await writeState(dir, { ...state, ...server });
  };
  const child = await spawnServer({ binary, dir, port, args: SERVER_ARGS, startTimeoutMs, onSpawn: recordServer });
  const server = child?.pid === undefined ? null : await identifyProcess(child.pid);
  if (child === null || server === null) return null;

  const owned = new OwnedServer({ dir, port, server, logger, stopTimeoutMs });
  child.once('exit', (code, signal) => {
    if (!owned.stopping) logger.error({ pid: server.pid, code, signal, dir }, 'redis-server has ended unexpectedly; its log is redis.log');
  });
  logger.info({ url: owned.url, pid: owned.pid, dir }, 'redis-server started');
  return owned;
}

function failed(message: string): FleetError {
  return new FleetError('REDIS_SERVER_FAILED', `${message}.`);
}
