import { runDashboard } from '../../dashboard/main.js';
import { createLoggerFactory } from '../../shared/log/logger.js';
import { SETTINGS, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { BUILTIN_MODULE } from '../../worker/modules/import-module.js';
import { type LoadedModules, loadTaskModules } from '../../worker/task-modules.js';
import { refuseApi } from '../client/api-address.js';
import { locateRedis } from '../client/settings.js';
import { environmentOf } from '../environment.js';
import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { runAsChild } from '../process.js';
import { startTelemetry } from './telemetry.js';

export interface DashboardFlags extends GlobalOptions {
  readonly host?: string;
  readonly port?: number;
  readonly supervised?: boolean;
}

/** Runs the dashboard until it is stopped, and returns the exit code. @throws CliError `USAGE`; FleetError */
export function serve(io: Io, flags: DashboardFlags): Promise<number> {
  return runAsChild(io, flags.supervised === true, () => run(io, flags));
}

async function run(io: Io, { host, port, supervised = false, ...globals }: DashboardFlags): Promise<number> {
  refuseApi(globals, 'dashboard');
  const { apiHost, apiPort } = SETTINGS;
  if (host !== undefined && !apiHost.schema.safeParse(host).success) throw usageError(`Bad --host: expected ${apiHost.expected}.`);
  const env = {
    ...environmentOf(io, globals),
    ...(host !== undefined && { [apiHost.env]: host }),
    ...(port !== undefined && { [apiPort.env]: String(port) }),
  };
  const settings = await locateRedis(io, loadSettings(env));
  const loggers = createLoggerFactory({ settings, ...io.log });
  const { handlers } = await loadTaskModules(settings, io.cwd);
  loggers('dashboard').info({ pid: io.host.pid, redis: redactUrl(settings.redisUrl) }, 'Dashboard starting');
  const { telemetry, flush } = await startTelemetry({
    ...{ env: io.env, cwd: io.cwd, settings, logger: loggers('dashboard') },
    service: 'taskfleet-dashboard',
  });
  return runDashboard({ host: io.host, settings, loggers, definitions: ownDefinitions(handlers), supervised, telemetry, flush });
}

/** Returns the definitions from TASK_MODULES; the dashboard decides which built-in ones may be enqueued. */
function ownDefinitions(handlers: LoadedModules['handlers']): AnyDefinition[] {
  return [...handlers.values()].filter(({ source }) => source.moduleUrl !== BUILTIN_MODULE).map(({ definition }) => definition);
}
