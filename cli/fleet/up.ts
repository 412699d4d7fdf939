import { resolve } from 'node:path';
import { formatMs } from '../../shared/time.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { type Settings, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import { refuseApi } from '../client/http-connection.js';
import { CliError, EXIT } from '../errors.js';
import { REDIS_DIR } from '../client/open.js';
import { type Fleet, startFleet } from './fleet.js';
import { type GlobalOptions, clientEnvironmentOf, environmentOf } from '../options.js';
import { goOnWithoutOutput, say } from '../text/output.js';
import { type EndRequests, type EndSignal, exitCodeOfSignal, listenForEnd } from '../process.js';

export interface UpFlags extends GlobalOptions {
  readonly workers: number;
  readonly dashboard: boolean;
}

/** Runs a fleet until it is stopped, and returns the exit code. @throws CliError `USAGE`; FleetError */
export async function up(flags: UpFlags): Promise<number> {
  refuseApi(flags, 'up');
  goOnWithoutOutput();
  const env = environmentOf(flags);
  const settings = loadSettings(env);
  // The workers log as configured; this process prints notices and by default logs errors only.
  const loggers = createLoggerFactory({ settings: loadSettings(clientEnvironmentOf(flags)), pretty: process.stderr.isTTY });
  const requests = listenForEnd();
  const startedAt = performance.now();
  const starting = new AbortController();
  void requests.second.then((signal) => {
    starting.abort(new CliError('INTERRUPTED', exitCodeOfSignal(signal), `${signal}: exited before the fleet was up.`));
  });
  const options = {
    settings,
    env,
    workers: flags.workers,
    dashboard: flags.dashboard,
    redisDir: REDIS_DIR,
    say,
    loggers,
    signal: starting.signal,
  };
  const fleet = await startFleet(options);
  introduce(fleet, settings.redisUrl === null);
  const lost = endOnLoss(fleet);
  try {
    await Promise.race([requests.first, lost, fleet.ready().then(() => welcome(fleet, settings, performance.now() - startedAt))]);
  } catch (error) {
    await fleet.stop();
    throw error;
  }
  return Promise.race([end(fleet, requests), lost]);
}

/** Kills the fleet when its Redis is lost, since no process can record results or requeue tasks. Rejects once all have exited. */
function endOnLoss(fleet: Fleet): Promise<never> {
  const lost = fleet.redisLost.then(async (error): Promise<never> => {
    say('Redis is lost; killing all processes.');
    await fleet.killNow();
    throw error;
  });
  lost.catch(() => undefined);
  return lost;
}

function introduce(fleet: Fleet, embedded: boolean): void {
  say(`Redis     ${redactUrl(fleet.redisUrl)}${embedded ? ` (data in ${resolve(REDIS_DIR)})` : ''}`);
  if (fleet.redisSharedWith.length > 0) {
    const others = fleet.redisSharedWith.map((pid) => `pid ${pid}`).join(', ');
    say(`          Also used by ${others}, started in this folder, for the same tasks. The last process to exit stops it.`);
  }
  for (const { index, pid } of fleet.workers()) say(`Worker ${index}  pid ${pid}`);
}

function welcome(fleet: Fleet, { apiTokens, jwtIssuer }: Settings, ms: number): void {
  const url = fleet.dashboard()?.url;
  if (url)
    say(`Dashboard ${url}${apiTokens.length === 0 && jwtIssuer === null ? ' (this machine only, because API_TOKENS is not set)' : ''}`);
  say(`Ready after ${formatMs(ms)}. Ctrl+C stops the fleet. To try it, run in another terminal:`);
  say(`  taskfleet task enqueue fleet.canary --input '{"run_ms":10000}' --item demo`);
  say('  taskfleet task stop --item demo');
}

async function end(fleet: Fleet, { first, second }: EndRequests): Promise<number> {
  const signal = await first;
  say(`${signal}: stopping, once running tasks have finished. Signal again to exit at once.`);
  let code: number = EXIT.DONE;
  const cutShort = async (again: EndSignal): Promise<void> => {
    code = exitCodeOfSignal(again);
    say(`${again}: killing all processes.`);
    await fleet.killNow();
  };
  await Promise.race([fleet.stop(), second.then(cutShort)]);
  say('Stopped.');
  return code;
}
