import { built } from './built.js';
import { type NodeProcess, spawnNode } from './processes.js';

/** The compiled command. */
export const COMMAND = built('dist/cli/main.js');

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Starts `taskfleet <args>`. */
export function startCommand(args: readonly string[], options: CommandOptions = {}): NodeProcess {
  return spawnNode([COMMAND, ...args], options);
}

/** Runs `taskfleet <args>` to its end. */
export async function runCommand(args: readonly string[], options: CommandOptions = {}): Promise<CommandResult> {
  const command = startCommand(args, options);
  const { code } = await command.exit;
  return { code, stdout: command.stdout.text, stderr: command.stderr.text };
}
