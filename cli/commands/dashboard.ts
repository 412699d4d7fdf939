import { type Command, Option } from 'commander';
import { createLoggerFactory } from '../../shared/logger.js';
import { SETTINGS, loadSettings, redactUrl } from '../../shared/settings.js';
import type { AnyDefinition } from '../../shared/task/definition.js';
import { tellParent } from '../../worker/main.js';
import { BUILTIN_MODULE, loadTaskModules } from '../../worker/task-modules.js';
import { usageError } from '../cli-error.js';
import { locateRedis } from '../connection.js';
import { refuseApi } from '../api/address.js';
import { type GlobalOptions, environmentOf } from '../global-options.js';
import { wholeNumber } from '../number-option.js';
import { runAsChild } from '../parent.js';

interface DashboardFlags extends GlobalOptions {
  readonly host?: string;
  readonly port?: number;
  readonly supervised?: boolean;
}

const EXAMPLES = `
Examples:
  taskfleet dashboard
  REDIS_URL=redis://host:6379 API_TOKENS='…' taskfleet dashboard --host 0.0.0.0
  taskfleet token create --name ada --role operator     makes an entry for API_TOKENS

Without API_TOKENS and JWTs (API_JWT_ISSUER …) it listens on loopback only, and everybody on this machine may do
everything. TASK_MODULES says which tasks of your own may be enqueued over HTTP. SIGTERM or Ctrl+C lets requests end until
SHUTDOWN_TIMEOUT_MS; a second one ends it at once.`;

export function addDashboard(program: Command): void {
  program
    .command('dashboard')
    .description('run the dashboard: HTTP API and pages')
    .option('--host <host>', 'where to listen (instead of API_HOST)')
    .option('--port <port>', 'the port, 0 for any free one (instead of API_PORT)', wholeNumber(0, 65_535))
    // Given by `taskfleet up` to the one that it starts.
    .addOption(new Option('--supervised').hideHelp())
    .addHelpText('after', EXAMPLES)
    .action((_flags: unknown, command: Command) => {
      const flags = command.optsWithGlobals<DashboardFlags>();
      return runAsChild(flags.supervised ?? false, () => serve(flags));
    });
}

async function serve({ host, port, supervised = false, ...globals }: DashboardFlags): Promise<number> {
  refuseApi(globals, 'dashboard');
  const { apiHost, apiPort } = SETTINGS;
  if (host !== undefined && !apiHost.schema.safeParse(host).success) throw usageError(`Bad --host: expected ${apiHost.expected}.`);
  const env = { ...environmentOf(globals), ...(host !== undefined && { [apiHost.env]: host }), ...(port !== undefined && { [apiPort.env]: String(port) }) };
  const settings = await locateRedis(loadSettings(env));
  const loggers = createLoggerFactory({ settings, pretty: process.stderr.isTTY });
  const handlers = await loadTaskModules(settings, process.cwd());
  loggers('dashboard').info({ pid: process.pid, redis: redactUrl(settings.redisUrl) }, 'Dashboard starts');
  // Not with the other commands: Express and all that hangs on it would make each of them start later.
  const { runDashboard } = await import('../../dashboard/main.js');
  const onReady = (url: string): Promise<void> => (supervised ? tellParent({ type: 'ready', id: url }) : Promise.resolve());
  return runDashboard({ settings, loggers, definitions: ownDefinitions(handlers), supervised, onReady });
}

/** Those of TASK_MODULES: which of the built-in ones may be enqueued, the dashboard knows. */
function ownDefinitions(handlers: Awaited<ReturnType<typeof loadTaskModules>>): AnyDefinition[] {
  return [...handlers.values()].filter(({ source }) => source.moduleUrl !== BUILTIN_MODULE).map(({ definition }) => definition);
}
