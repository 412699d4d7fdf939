import { type Command, Option } from 'commander';
import type { Setting } from '../shared/settings/kinds.js';
import { type Environment, SETTINGS } from '../shared/settings/settings.js';
import { usageError } from './cli-error.js';

/** The options of every command, accepted before or after its name. */
export interface GlobalOptions {
  readonly output: 'text' | 'json';
  readonly redis?: string;
  readonly prefix?: string;
  readonly api?: string;
  readonly token?: string;
}

export function addGlobalOptions(program: Command): void {
  program
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .option('--redis <url>', 'URL of Redis (overrides REDIS_URL)')
    .option('--prefix <prefix>', 'prefix of every Redis key (overrides REDIS_KEY_PREFIX)')
    .option('--api <url>', "URL of a dashboard's API, used instead of Redis (overrides TASKFLEET_API)")
    .option('--token <token>', 'token for the API; prefer TASKFLEET_TOKEN, as arguments are visible to other users');
}

/**
 * Returns the environment with options overriding their variables.
 * @throws CliError `USAGE` for an option that is not a valid setting
 */
export function environmentOf({ redis, prefix }: GlobalOptions): Environment {
  const env: Record<string, string | undefined> = { ...process.env };
  if (redis !== undefined) env[SETTINGS.redisUrl.env] = check('--redis', SETTINGS.redisUrl, redis);
  if (prefix !== undefined) env[SETTINGS.keyPrefix.env] = check('--prefix', SETTINGS.keyPrefix, prefix);
  return env;
}

/**
 * Returns the environment for short-lived commands. These print their own errors, so their log is off unless configured.
 * @throws CliError `USAGE`
 */
export function clientEnvironmentOf(globals: GlobalOptions): Environment {
  const env = environmentOf(globals);
  return env[SETTINGS.logLevel.env] ? env : { ...env, [SETTINGS.logLevel.env]: 'error' };
}

/** The value is not repeated in the error: a URL may contain a password. */
function check(flag: string, { schema, expected, explain }: Setting<unknown>, value: string): string {
  if (value !== '' && schema.safeParse(value).success) return value;
  throw usageError(`Bad ${flag}: ${explain?.(value) ?? `expected ${expected}`}.`);
}
