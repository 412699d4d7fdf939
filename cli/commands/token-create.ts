import { type Command, Option } from 'commander';
import { ROLES, type Role } from '../../dashboard/auth/principal.js';
import { entryOf, newToken, problemsOfEntry } from '../../dashboard/auth/tokens.js';
import { usageError } from '../cli-error.js';
import type { GlobalOptions } from '../global-options.js';
import { printData, printJson, say } from '../output.js';

interface CreateFlags extends GlobalOptions {
  readonly name: string;
  readonly role: Role;
  readonly item?: readonly string[];
}

const EXAMPLES = `
Examples:
  taskfleet token create --name ada --role operator
  taskfleet token create --name chats --role submitter --item 'chat:*' --item 'draft:*'

Prints the token, which is shown this once and kept nowhere, and the entry for API_TOKENS, which has only its SHA-256: the
token is 256 random bits, so that nobody gets from one to the other. Several entries are separated by semicolons. Each role
may do what those before it may: viewer (look), submitter (enqueue, and stop what its item patterns name), operator (stop,
retry, schedules, the board), admin (also the audit).`;

export function addTokenCreate(token: Command): void {
  token
    .command('create')
    .description('make a token for the dashboard')
    .requiredOption('--name <name>', 'whose it is, for the audit')
    .addOption(new Option('--role <role>', 'what it may do').choices(ROLES).makeOptionMandatory())
    .addOption(
      new Option('--item <pattern>', 'an item that it may see, * for any text; may be given again (default: all)').argParser(
        (pattern: string, before?: readonly string[]) => [...(before ?? []), pattern],
      ),
    )
    .addHelpText('after', EXAMPLES)
    .action((_flags: unknown, command: Command) => create(command.optsWithGlobals<CreateFlags>()));
}

function create({ name, role, item, output }: CreateFlags): void {
  const owner = { name, role, items: item ?? null };
  const [problem] = problemsOfEntry(owner);
  if (problem !== undefined) throw usageError(`Bad token: ${problem}.`);
  const token = newToken();
  const entry = entryOf(token, owner);
  if (output === 'json') return printJson({ token, entry });
  say('The token, shown this once; whoever has it may do what its role may:');
  printData(token);
  say('The entry for API_TOKENS:');
  printData(entry);
}
