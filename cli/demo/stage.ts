import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createLoggerFactory } from '../../shared/logger.js';
import { findRunningEmbeddedRedis } from '../../shared/redis/embedded.js';
import { type Environment, loadSettings, settingVariables } from '../../shared/settings.js';
import { type Fleet, startFleet } from '../fleet.js';
import { CONCURRENCY } from './batch.js';
import { type OpenAiServer, startOpenAiServer } from './openai-server.js';

export interface StageOptions {
  /** The process's environment. Settings in it do not count: the demo is the same everywhere. */
  readonly env: Environment;
  /** Gets what a person should see of the start. */
  readonly say: (line: string) => void;
  /** Gets each line of the fleet's processes, with the name of the process. */
  readonly onLine: (name: string, line: string) => void;
}

/** Everything that the demo's client talks to, and the folder that it lives in. */
export interface Stage {
  /** For the client: how to reach the fleet. */
  readonly clientEnv: Environment;
  readonly redisUrl: string;
  readonly redisPid: number | null;
  readonly fleet: Fleet;
  readonly openAi: OpenAiServer;
  /** Ends the workers, Redis and the server, and removes the folder. May be called again. */
  close(): Promise<void>;
}

/** Beside whatever the user has in the same Redis, should it ever be the same. */
export const KEY_PREFIX = 'taskfleet-demo';
const WORKERS = 2;
/** Not the fleet's own default ports, so that `taskfleet up` gets those. */
const REDIS_PORT = 6398;
const API_PORT = 8430;
const TOKENS_PER_SECOND = 40;

/**
 * Starts the local OpenAI server, a Redis on a fresh temporary folder and the workers. What was started is undone if the
 * rest fails. Resolves when the processes exist; `fleet.ready` waits for them.
 */
export async function openStage({ env, say, onLine }: StageOptions): Promise<Stage> {
  const closers: (() => Promise<unknown>)[] = [];
  let closing: Promise<void> | null = null;
  const close = (): Promise<void> => {
    closing ??= closeAll(closers);
    return closing;
  };
  try {
    const dir = await mkdtemp(join(tmpdir(), 'taskfleet-demo-'));
    closers.unshift(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
    const openAi = await startOpenAiServer({ tokensPerSecond: TOKENS_PER_SECOND });
    closers.unshift(() => openAi.stop());
    const fleetEnv = { ...withoutSettings(env), ...demoSettings(openAi.url) };
    const settings = loadSettings(fleetEnv);
    const redisDir = join(dir, 'redis');
    const loggers = createLoggerFactory({ settings });
    const fleet = await startFleet({ settings, env: fleetEnv, workers: WORKERS, dashboard: true, redisDir, say, loggers, output: onLine });
    closers.unshift(() => fleet.stop());
    const redis = await findRunningEmbeddedRedis(redisDir);
    // Its warnings would get between the lines that move; what matters of them it throws.
    const clientEnv = { ...fleetEnv, OPENAI_API_BASE_URLS: undefined, GLOBAL_LOG_LEVEL: 'error', REDIS_URL: fleet.redisUrl };
    return { clientEnv, redisUrl: fleet.redisUrl, redisPid: redis?.pid ?? null, fleet, openAi, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** One after the other; what cannot be closed does not keep the rest. @throws the first error, at the end */
async function closeAll(closers: readonly (() => Promise<unknown>)[]): Promise<void> {
  const errors: unknown[] = [];
  for (const closer of closers) await closer().catch((error: unknown) => errors.push(error));
  if (errors.length > 0) throw errors[0];
}

function demoSettings(openAiUrl: string): Record<string, string> {
  return {
    REDIS_KEY_PREFIX: KEY_PREFIX,
    EMBEDDED_REDIS_PORT: String(REDIS_PORT),
    API_PORT: String(API_PORT),
    // That it is open to this machine only, the demo says itself.
    DASHBOARD_LOG_LEVEL: 'error',
    OPENAI_API_BASE_URLS: openAiUrl,
    DOCUMENT_ROOT: packageRoot(),
    DOCUMENT_EXTENSIONS: '.md,.txt,.ts',
    WORKER_CONCURRENCY: String(CONCURRENCY),
    // A spinning canary holds its thread: the rest is for the documents.
    THREAD_POOL_SIZE: '4',
    STOP_GRACE_MS: '1000',
    // Nothing is lost that anybody would miss.
    SHUTDOWN_TIMEOUT_MS: '500',
    GLOBAL_LOG_LEVEL: 'warn',
  };
}

function withoutSettings(env: Environment): Record<string, string | undefined> {
  const names = settingVariables();
  return Object.fromEntries(Object.entries(env).filter(([name]) => !names.has(name)));
}

/** This repository: compiled or not, this file is somewhere below its package.json. */
function packageRoot(): string {
  let folder = import.meta.dirname;
  while (!existsSync(join(folder, 'package.json')) && folder !== dirname(folder)) folder = dirname(folder);
  return folder;
}
