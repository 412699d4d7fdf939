import { resolve } from 'node:path';
import { createLoggerFactory } from '../../shared/logger.js';
import { type EndSignal, ProcessLife, exitCodeOfSignal } from '../../shared/process-life.js';
import { type Settings, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import { formatMs } from '../../shared/time.js';
import { refuseApi } from '../client/http-connection.js';
import { REDIS_DIR } from '../client/open.js';
import { CliError } from '../errors.js';
import type { Io } from '../io.js';
import { type GlobalOptions, clientEnvironmentOf, environmentOf } from '../options.js';
import { ignoreOutputErrors, say } from '../text/output.js';
import { type Fleet, startFleet } from './fleet.js';

export interface UpFlags extends GlobalOptions {
  readonly workers: number;
  readonly dashboard: boolean;
}

/** Runs a fleet until it is stopped, and returns the exit code. @throws CliError `USAGE`; FleetError */
export async function up(io: Io, flags: UpFlags): Promise<number> {
  refuseApi(flags, 'up');
  ignoreOutputErrors(io);
  const env = environmentOf(io, flags);
  const settings = loadSettings(env);
  // The workers log as configured; this process prints notices and by default logs errors only.
  const loggers = createLoggerFactory({ settings: loadSettings(clientEnvironmentOf(io, flags)), ...io.log });
  const life = new ProcessLife({ host: io.host, logger: loggers('cli') });
  const startedAt = performance.now();
  const starting = new AbortController();
  void life.forced.then((signal) => {
    starting.abort(new CliError('INTERRUPTED', exitCodeOfSignal(signal), `${signal}: exited before the fleet was up.`));
  });
  const redisDir = resolve(io.cwd, REDIS_DIR);
  const fleet = await startFleet({
    settings,
    env,
    cwd: io.cwd,
    workers: flags.workers,
    dashboard: flags.dashboard,
    redisDir,
    say: (line) => say(io, line),
    loggers,
    signal: starting.signal,
  });
  introduce(io, fleet, settings.redisUrl === null ? redisDir : null);
  const lost = endOnLoss(io, fleet);
  try {
    await Promise.race([life.shutdown, lost, fleet.ready().then(() => welcome(io, fleet, settings, performance.now() - startedAt))]);
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return Promise.race([end(io, fleet, life), lost]);
}

/** Kills the fleet when its Redis is lost, since no process can record results or requeue tasks. Rejects once all have exited. */
function endOnLoss(io: Io, fleet: Fleet): Promise<never> {
  const lost = fleet.redisLost.then(async (error): Promise<never> => {
    say(io, 'Redis is lost; killing all processes.');
    await fleet.killNow();
    throw error;
  });
  lost.catch(() => undefined);
  return lost;
}

function introduce(io: Io, fleet: Fleet, redisDir: string | null): void {
  say(io, `Redis     ${redactUrl(fleet.redisUrl)}${redisDir === null ? '' : ` (data in ${redisDir})`}`);
  if (fleet.redisSharedWith.length > 0) {
    const others = fleet.redisSharedWith.map((pid) => `pid ${pid}`).join(', ');
    say(io, `          Also used by ${others}, started in this folder, for the same tasks. The last process to exit stops it.`);
  }
  for (const { index, pid } of fleet.workers()) say(io, `Worker ${index}  pid ${pid}`);
}

function welcome(io: Io, fleet: Fleet, { apiTokens, jwtIssuer }: Settings, ms: number): void {
  const url = fleet.dashboard()?.url;
  if (url)
    say(io, `Dashboard ${url}${apiTokens.length === 0 && jwtIssuer === null ? ' (this machine only, because API_TOKENS is not set)' : ''}`);
  say(io, `Ready after ${formatMs(ms)}. Ctrl+C stops the fleet. To try it, run in another terminal:`);
  say(io, `  taskfleet task enqueue fleet.canary --input '{"run_ms":10000}' --item demo`);
  say(io, '  taskfleet task stop --item demo');
}

async function end(io: Io, fleet: Fleet, life: ProcessLife): Promise<number> {
  const { why, code: orderly } = await life.shutdown;
  let code = orderly;
  say(io, `${why}: stopping, once running tasks have finished. Signal again to exit at once.`);
  const cutShort = async (again: EndSignal): Promise<void> => {
    code = exitCodeOfSignal(again);
    say(io, `${again}: killing all processes.`);
    await fleet.killNow();
  };
  await Promise.race([fleet.stop(), life.forced.then(cutShort)]);
  say(io, 'Stopped.');
  return code;
}
