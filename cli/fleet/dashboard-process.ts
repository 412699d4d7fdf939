import { runDashboard } from '../../dashboard/main.js';
import { createLoggerFactory } from '../../shared/logger.js';
import { SETTINGS, loadSettings, redactUrl } from '../../shared/settings/settings.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { tellParent } from '../../worker/main.js';
import { BUILTIN_MODULE, loadTaskModules } from '../../worker/task-modules.js';
import { refuseApi } from '../client/http-connection.js';
import { usageError } from '../errors.js';
import { locateRedis } from '../client/open.js';
import { type GlobalOptions, environmentOf } from '../options.js';
import { runAsChild } from '../process.js';

export interface DashboardFlags extends GlobalOptions {
  readonly host?: string;
  readonly port?: number;
  readonly supervised?: boolean;
}

/** Runs the dashboard, then exits the process. @throws CliError `USAGE`; FleetError */
export function serve(flags: DashboardFlags): Promise<never> {
  return runAsChild(flags.supervised === true, () => run(flags));
}

async function run({ host, port, supervised = false, ...globals }: DashboardFlags): Promise<number> {
  refuseApi(globals, 'dashboard');
  const { apiHost, apiPort } = SETTINGS;
  if (host !== undefined && !apiHost.schema.safeParse(host).success) throw usageError(`Bad --host: expected ${apiHost.expected}.`);
  const env = {
    ...environmentOf(globals),
    ...(host !== undefined && { [apiHost.env]: host }),
    ...(port !== undefined && { [apiPort.env]: String(port) }),
  };
  const settings = await locateRedis(loadSettings(env));
  const loggers = createLoggerFactory({ settings, pretty: process.stderr.isTTY });
  const handlers = await loadTaskModules(settings, process.cwd());
  loggers('dashboard').info({ pid: process.pid, redis: redactUrl(settings.redisUrl) }, 'Dashboard starting');
  const onReady = (url: string): Promise<void> => (supervised ? tellParent({ type: 'ready', id: url }) : Promise.resolve());
  return runDashboard({ settings, loggers, definitions: ownDefinitions(handlers), supervised, onReady });
}

/** Returns the definitions from TASK_MODULES; the dashboard decides which built-in ones may be enqueued. */
function ownDefinitions(handlers: Awaited<ReturnType<typeof loadTaskModules>>): AnyDefinition[] {
  return [...handlers.values()].filter(({ source }) => source.moduleUrl !== BUILTIN_MODULE).map(({ definition }) => definition);
}
