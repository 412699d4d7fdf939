import { resolve } from 'node:path';
import { type Producer, type ProducerConfig, createProducer } from '../../producer/index.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../../shared/embedded-redis/embedded.js';
import { type LoggerFactory, createLoggerFactory } from '../../shared/log/logger.js';
import { type Settings, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import type { ChildEnqueuer } from '../../shared/task/handler.js';
import { runWorker } from '../../worker/main.js';
import { refuseApi } from '../client/api-address.js';
import { REDIS_DIR } from '../client/open.js';
import { environmentOf } from '../environment.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { runAsChild } from '../process.js';
import { say } from '../text/output.js';
import { startTelemetry } from './telemetry.js';

/** The producer that a worker's handlers share. Connects on the first enqueue, because most handlers never enqueue. */
export class ChildProducer implements ChildEnqueuer {
  #producer: Producer | null = null;

  constructor(private readonly config: ProducerConfig) {}

  enqueueChild(...args: Parameters<ChildEnqueuer['enqueueChild']>): ReturnType<ChildEnqueuer['enqueueChild']> {
    this.#producer ??= createProducer(this.config);
    return this.#producer.enqueueChild(...args);
  }

  async close(): Promise<void> {
    await this.#producer?.close();
  }
}

export interface WorkerFlags extends GlobalOptions {
  readonly supervised?: true;
}

/** Runs a worker until it is stopped, and returns the exit code. @throws CliError `USAGE`; FleetError */
export function work(io: Io, flags: WorkerFlags): Promise<number> {
  return runAsChild(io, flags.supervised === true, () => run(io, flags));
}

async function run(io: Io, flags: WorkerFlags): Promise<number> {
  refuseApi(flags, 'worker');
  const settings = loadSettings(environmentOf(io, flags));
  const loggers = createLoggerFactory({ settings, ...io.log });
  const embedded = settings.redisUrl === null ? await startRedis(settings, io, loggers) : null;
  const redisUrl = embedded?.url ?? (settings.redisUrl as string);
  const { telemetry, flush } = await startTelemetry({
    ...{ env: io.env, cwd: io.cwd, settings, logger: loggers('worker') },
    service: 'taskfleet-worker',
  });
  const producer = new ChildProducer({ ...settings, redisUrl, loggers, telemetry });
  loggers('worker').info({ pid: io.host.pid, redis: redactUrl(redisUrl) }, 'Worker starting');
  return runWorker({
    host: io.host,
    cwd: io.cwd,
    settings: { ...settings, redisUrl },
    loggers,
    supervised: flags.supervised === true,
    producer,
    telemetry,
    flush,
    lost: embedded?.lost,
    release: async () => {
      await producer.close();
      await embedded?.stop();
    },
  });
}

function startRedis(settings: Settings, io: Io, loggers: LoggerFactory): Promise<EmbeddedRedis> {
  return startEmbeddedRedis({
    dir: resolve(io.cwd, REDIS_DIR),
    preferredPort: settings.redisPort,
    path: io.env['PATH'] ?? '',
    say: (line) => say(io, line),
    logger: loggers('redis'),
  });
}
