import { type Command, Option } from 'commander';
import { type LoggerFactory, createLoggerFactory } from '../../shared/logger.js';
import { type EmbeddedRedis, startEmbeddedRedis } from '../../shared/redis/embedded.js';
import { type Environment, type Settings, loadSettings, redactUrl } from '../../shared/settings.js';
import { runWorker } from '../../worker/main.js';
import { ChildProducer } from '../child-producer.js';
import { REDIS_DIR } from '../connection.js';
import { refuseApi } from '../api/address.js';
import { type GlobalOptions, environmentOf } from '../global-options.js';
import { say } from '../output.js';
import { runAsChild } from '../parent.js';

interface WorkerFlags extends GlobalOptions {
  readonly supervised?: true;
}

const EXAMPLES = `
Examples:
  REDIS_URL=redis://host:6379 taskfleet worker
  TASK_MODULES=./tasks.js WORKER_CONCURRENCY=20 taskfleet worker

SIGTERM or Ctrl+C: running tasks may end until SHUTDOWN_TIMEOUT_MS, the rest goes back to the queue. A second one ends
the worker at once. Without REDIS_URL it uses the Redis of this folder (${REDIS_DIR}), and starts it if it does not run.`;

export function addWorker(program: Command): void {
  program
    .command('worker')
    .description('run one worker process')
    // Given by `taskfleet up` to the workers that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action((_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<WorkerFlags>();
      return runAsChild(flags.supervised === true, () => work(flags));
    });
}

async function work(flags: WorkerFlags): Promise<number> {
  refuseApi(flags, 'worker');
  const env = environmentOf(flags);
  const settings = loadSettings(env);
  const loggers = createLoggerFactory({ settings, pretty: process.stderr.isTTY });
  const embedded = settings.redisUrl === null ? await startRedis(settings, env, loggers) : null;
  const redisUrl = embedded?.url ?? (settings.redisUrl as string);
  const producer = new ChildProducer({ ...settings, redisUrl, loggers });
  loggers('worker').info({ pid: process.pid, redis: redactUrl(redisUrl) }, 'Worker starts');
  return runWorker({
    settings: { ...settings, redisUrl },
    loggers,
    supervised: flags.supervised === true,
    producer,
    release: async () => {
      await producer.close();
      await embedded?.stop();
    },
  });
}

function startRedis(settings: Settings, env: Environment, loggers: LoggerFactory): Promise<EmbeddedRedis> {
  return startEmbeddedRedis({ dir: REDIS_DIR, preferredPort: settings.redisPort, path: env['PATH'] ?? '', say, logger: loggers('redis') });
}
