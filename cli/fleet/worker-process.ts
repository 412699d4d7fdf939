import { type Producer, type ProducerConfig, createProducer } from '../../producer/index.js';
import { type LoggerFactory, createLoggerFactory } from '../../shared/logger.js';
import { type Environment, type Settings, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';
import { runWorker } from '../../worker/main.js';
import { refuseApi } from '../client/http-connection.js';
import { REDIS_DIR } from '../client/open.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../embedded-redis/embedded.js';
import { type GlobalOptions, environmentOf } from '../options.js';
import { runAsChild } from '../process.js';
import { say } from '../text/output.js';

/** The producer that a worker's handlers share. Connects on the first enqueue, because most handlers never enqueue. */
export class ChildProducer implements ChildEnqueuer {
  readonly #config: ProducerConfig;
  #producer: Producer | null = null;

  constructor(config: ProducerConfig) {
    this.#config = config;
  }

  enqueueChild(...args: Parameters<ChildEnqueuer['enqueueChild']>): ReturnType<ChildEnqueuer['enqueueChild']> {
    this.#producer ??= createProducer(this.#config);
    return this.#producer.enqueueChild(...args);
  }

  async close(): Promise<void> {
    await this.#producer?.close();
  }
}

export interface WorkerFlags extends GlobalOptions {
  readonly supervised?: true;
}

/** Runs a worker, then exits the process. @throws CliError `USAGE`; FleetError */
export function work(flags: WorkerFlags): Promise<never> {
  return runAsChild(flags.supervised === true, () => run(flags));
}

async function run(flags: WorkerFlags): Promise<number> {
  refuseApi(flags, 'worker');
  const env = environmentOf(flags);
  const settings = loadSettings(env);
  const loggers = createLoggerFactory({ settings, pretty: process.stderr.isTTY });
  const embedded = settings.redisUrl === null ? await startRedis(settings, env, loggers) : null;
  const redisUrl = embedded?.url ?? (settings.redisUrl as string);
  const producer = new ChildProducer({ ...settings, redisUrl, loggers });
  loggers('worker').info({ pid: process.pid, redis: redactUrl(redisUrl) }, 'Worker starting');
  return runWorker({
    settings: { ...settings, redisUrl },
    loggers,
    supervised: flags.supervised === true,
    producer,
    lost: embedded?.lost,
    release: async () => {
      await producer.close();
      await embedded?.stop();
    },
  });
}

function startRedis(settings: Settings, env: Environment, loggers: LoggerFactory): Promise<EmbeddedRedis> {
  return startEmbeddedRedis({ dir: REDIS_DIR, preferredPort: settings.redisPort, path: env['PATH'] ?? '', say, logger: loggers('redis') });
}
