import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { jsonProblem } from '../shared/arguments.js';
import { messageOf } from '../shared/errors.js';
import { quote } from '../shared/keys.js';
import type { Setting } from '../shared/settings/kinds.js';
import { type Environment, SETTINGS } from '../shared/settings/settings.js';
import { usageError } from './errors.js';
import type { Io } from './io.js';
import { say } from './text/output.js';

const TYPED = '--input';

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
export function environmentOf(io: Io, { redis, prefix }: GlobalOptions): Environment {
  const env: Record<string, string | undefined> = { ...io.env };
  if (redis !== undefined) env[SETTINGS.redisUrl.env] = check('--redis', SETTINGS.redisUrl, redis);
  if (prefix !== undefined) env[SETTINGS.keyPrefix.env] = check('--prefix', SETTINGS.keyPrefix, prefix);
  return env;
}

/**
 * Returns the environment for short-lived commands. These print their own errors, so their log is off unless configured.
 * @throws CliError `USAGE`
 */
export function clientEnvironmentOf(io: Io, globals: GlobalOptions): Environment {
  const env = environmentOf(io, globals);
  return env[SETTINGS.logLevel.env] ? env : { ...env, [SETTINGS.logLevel.env]: 'error' };
}

/** The value is not repeated in the error: a URL may contain a password. */
function check(flag: string, { schema, expected, explain }: Setting<unknown>, value: string): string {
  if (value !== '' && schema.safeParse(value).success) return value;
  throw usageError(`Bad ${flag}: ${explain?.(value) ?? `expected ${expected}`}.`);
}

/** Returns a parser for a whole-number option. The option's help states the unit. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (argument) => {
    const value = /^\d+$/.test(argument) ? Number(argument) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/**
 * Reads a task's input: JSON itself, `@file`, or `-` for standard input.
 * @throws CliError `USAGE`, naming the source and the problem
 */
export async function readInput(io: Io, source: string): Promise<unknown> {
  if (source === '-') return parse(await readStandardInput(io), 'standard input');
  if (!source.startsWith('@')) return parse(source, TYPED);
  const file = source.slice(1);
  return parse(await readInputFile(io, file), file);
}

async function readInputFile({ cwd }: Io, file: string): Promise<string> {
  try {
    return await readFile(resolve(cwd, file), 'utf8');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : messageOf(error);
    throw usageError(`Cannot read the input from ${quote(file)}: ${why}.`);
  }
}

function readStandardInput(io: Io): Promise<string> {
  if (io.stdin.isTTY) say(io, 'Reading JSON from the terminal; press Ctrl+D to finish.');
  return text(io.stdin);
}

function parse(json: string, origin: string): unknown {
  try {
    // Some editors write a byte order mark.
    return JSON.parse(json.replace(/^\uFEFF/, ''));
  } catch (error) {
    // An argument may be repeated; the content of a file may be secret.
    const got = json.trim() === '' ? 'nothing' : origin === TYPED ? quote(json) : `${json.length} characters`;
    throw usageError(`Bad input: ${origin} is not JSON: ${jsonProblem(error)}. Expected JSON such as '{"run_ms":1000}', got ${got}.`);
  }
}
