import { resolve } from 'node:path';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { byHolderOf } from '../../shared/process/port-holder.js';
import { type EndSignal, ProcessLife, exitCodeOfSignal } from '../../shared/process/process-life.js';
import { type Settings, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import { formatMs } from '../../shared/time.js';
import { refuseApi } from '../client/api-address.js';
import { REDIS_DIR } from '../client/open.js';
import { clientEnvironmentOf, environmentOf } from '../environment.js';
import { CliError } from '../errors.js';
import { invocationOf } from '../invocation.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { ignoreOutputErrors, say } from '../text/output.js';
import { FleetRecord, type RunningFleet } from './fleet-record.js';
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
  const record = settings.redisUrl === null ? await FleetRecord.prepare(redisDir) : null;
  const lost = endOnLoss(io, fleet);
  const settled = async (): Promise<void> => {
    await fleet.ready();
    await record?.publish(factsOf(fleet));
    await welcome(io, fleet, settings, performance.now() - startedAt);
  };
  try {
    introduce(io, fleet, { redisDir, others: record && (await announce(record, fleet)), flags });
    await Promise.race([life.shutdown, lost, settled()]);
    return await Promise.race([end(io, fleet, life), lost]);
  } catch (error) {
    await fleet.stop();
    throw error;
  } finally {
    await record?.withdraw();
  }
}

/** Publishes the fleet, and returns the others of its folder. */
async function announce(record: FleetRecord, fleet: Fleet): Promise<RunningFleet[]> {
  const others = await record.others();
  await record.publish(factsOf(fleet));
  return others;
}

function factsOf(fleet: Fleet): Omit<RunningFleet, 'pid'> {
  return { dashboard: fleet.dashboard()?.url ?? null, redis: fleet.redisUrl, workers: fleet.workers().length };
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

interface Introduction {
  readonly redisDir: string;
  /** The other fleets of the folder; null without an embedded Redis. */
  readonly others: readonly RunningFleet[] | null;
  readonly flags: UpFlags;
}

function introduce(io: Io, fleet: Fleet, { redisDir, others, flags }: Introduction): void {
  say(io, `Redis     ${redactUrl(fleet.redisUrl)}${others === null ? '' : ` (data in ${redisDir})`}`);
  for (const { pid, dashboard, redis, workers } of others ?? []) {
    const parts = [`pid ${pid}`, ...(workers === null ? [] : [counted(workers, 'worker')]), `dashboard ${dashboard ?? 'none yet'}`];
    say(io, `A fleet runs in this folder already: ${[...parts, `Redis ${redis ?? fleet.redisUrl}`].join(', ')}.`);
  }
  const fleets = new Set(others?.map(({ pid }) => pid));
  const processes = fleet.redisSharedWith.filter((pid) => !fleets.has(pid));
  if (processes.length > 0) say(io, `Started in this folder too, with the same Redis: ${processes.map((pid) => `pid ${pid}`).join(', ')}.`);
  if (fleet.redisSharedWith.length > 0) {
    const added = counted(flags.workers, 'worker') + (flags.dashboard ? ' and a dashboard' : '');
    say(io, `This one adds ${added}, for the same tasks. The last process to exit stops Redis.`);
  }
  for (const { index, pid } of fleet.workers()) say(io, `Worker ${index}  pid ${pid}`);
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

async function welcome(io: Io, fleet: Fleet, { apiTokens, jwtIssuer, apiPort }: Settings, ms: number): Promise<void> {
  const url = fleet.dashboard()?.url;
  if (url) {
    const { port } = new URL(url);
    if (apiPort !== 0 && Number(port) !== apiPort)
      say(io, `Port ${apiPort} is in use${await byHolderOf(apiPort)}; the dashboard uses ${port}. To choose one: API_PORT.`);
    say(io, `Dashboard ${url}${apiTokens.length === 0 && jwtIssuer === null ? ' (this machine only, because API_TOKENS is not set)' : ''}`);
  }
  const command = invocationOf(io);
  say(io, `Ready after ${formatMs(ms)}. Ctrl+C stops the fleet. To try it, run in another terminal:`);
  say(io, `  ${command} task enqueue fleet.canary --input '{"run_ms":10000}' --item demo`);
  say(io, `  ${command} task stop --item demo`);
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
