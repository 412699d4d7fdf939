import { type Command, Option } from 'commander';
import type { Setting } from '../shared/setting-kinds.js';
import { type Environment, SETTINGS } from '../shared/settings.js';
import { usageError } from './cli-error.js';

/** What every command takes, before or after its name. */
export interface GlobalOptions {
  readonly output: 'text' | 'json';
  readonly redis?: string;
  readonly prefix?: string;
  readonly api?: string;
  readonly token?: string;
}

export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option('-o, --output <format>', 'how answers are printed').choices(['text', 'json']).default('text'))
    .option('--redis <url>', 'where Redis is (instead of REDIS_URL)')
    .option('--prefix <prefix>', 'first part of every Redis key (instead of REDIS_KEY_PREFIX)')
    .option('--api <url>', 'ask the HTTP API of a dashboard, not Redis (instead of TASKFLEET_API)')
    .option('--token <token>', 'for the API; better set TASKFLEET_TOKEN, for others can see what a command was given');
}

/**
 * The environment with what was given as an option in place of its variable.
 * @throws CliError `USAGE` for an option that no setting could be
 */
export function environmentOf({ redis, prefix }: GlobalOptions): Environment {
  const env: Record<string, string | undefined> = { ...process.env };
  if (redis !== undefined) env[SETTINGS.redisUrl.env] = check('--redis', SETTINGS.redisUrl, redis);
  if (prefix !== undefined) env[SETTINGS.keyPrefix.env] = check('--prefix', SETTINGS.keyPrefix, prefix);
  return env;
}

/**
 * The same for commands that ask and go: they say what went wrong themselves, so their log is quiet unless it was asked for.
 * @throws CliError `USAGE`
 */
export function clientEnvironmentOf(globals: GlobalOptions): Environment {
  const env = environmentOf(globals);
  return env[SETTINGS.logLevel.env] ? env : { ...env, [SETTINGS.logLevel.env]: 'error' };
}

/** A URL may have a password in it, so what came is not repeated. */
function check(flag: string, { schema, expected, explain }: Setting<unknown>, value: string): string {
  if (value !== '' && schema.safeParse(value).success) return value;
  throw usageError(`Bad ${flag}: ${explain?.(value) ?? `expected ${expected}`}.`);
}
