import { type Command, InvalidArgumentError, Option } from 'commander';

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

/** Returns a parser for a whole-number option. The option's help states the unit. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (argument) => {
    const value = /^\d+$/.test(argument) ? Number(argument) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`);
  };
}

/** Collects the values of an option that may be repeated. */
export function collected(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}
