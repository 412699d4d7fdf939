import type { Command } from 'commander';
import { addTokenCreate } from './token-create.js';

const EXAMPLES = `
Examples:
  taskfleet token create --name ada --role operator
  taskfleet token create --name chats --role submitter --item 'chat:*'`;

export function addToken(program: Command): void {
  const token = program.command('token').helpCommand(false).description('create tokens for the dashboard').addHelpText('after', EXAMPLES);
  addTokenCreate(token);
}
