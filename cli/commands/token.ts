import { type Command, Option } from 'commander';
import { ROLES, type Role } from '../../dashboard/auth/principal.js';
import { entryOf, newToken, problemsOfEntry } from '../../dashboard/auth/tokens.js';
import { usageError } from '../errors.js';
import type { Io } from '../io.js';
import type { GlobalOptions } from '../options.js';
import { printData, printJson, say } from '../text/output.js';

interface CreateFlags extends GlobalOptions {
  readonly name: string;
  readonly role: Role;
  readonly item?: readonly string[];
}

function addTokenCreate(token: Command, io: Io): void {
  token
    .command('create')
    .description('create a token for the dashboard')
    .requiredOption('--name <name>', 'owner of the token, for the audit log')
    .addOption(new Option('--role <role>', 'permissions of the token').choices(ROLES).makeOptionMandatory())
    .addOption(
      new Option('--item <pattern>', 'pattern of visible items, * for any text; repeatable (default: all items)').argParser(
        (pattern: string, before?: readonly string[]) => [...(before ?? []), pattern],
      ),
    )
    .addHelpText(
      'after',
      `
Examples:
  taskfleet token create --name ada --role operator
  taskfleet token create --name chats --role submitter --item 'chat:*' --item 'draft:*'

Prints the token, which is shown only once and stored nowhere, and the entry for API_TOKENS, which contains only its SHA-256.
Separate several entries by semicolons. Each role includes the ones before it: viewer (read), submitter (enqueue, and stop tasks
that match its item patterns), operator (stop, retry, schedules, the board), admin (also the audit log).`,
    )
    .action((_flags: unknown, command: Command) => create(io, command.optsWithGlobals<CreateFlags>()));
}

function create(io: Io, { name, role, item, output }: CreateFlags): void {
  const owner = { name, role, items: item ?? null };
  const [problem] = problemsOfEntry(owner);
  if (problem !== undefined) throw usageError(`Bad token: ${problem}.`);
  const token = newToken();
  const entry = entryOf(token, owner);
  if (output === 'json') return printJson(io, { token, entry });
  say(io, 'The token, shown only once; it grants the permissions of its role to anyone who has it:');
  printData(io, token);
  say(io, 'The entry for API_TOKENS:');
  printData(io, entry);
}

export function defineToken(token: Command, io: Io): void {
  token.addHelpText(
    'after',
    `
Examples:
  taskfleet token create --name ada --role operator
  taskfleet token create --name chats --role submitter --item 'chat:*'`,
  );
  addTokenCreate(token, io);
}
