import { Argument, type Command } from 'commander';
import { SHELLS, type Shell, scriptOf } from '../completion/scripts.js';
import type { Io } from '../io.js';

export function defineCompletion(completion: Command, io: Io): void {
  completion
    .addArgument(new Argument('<shell>', 'the shell').choices(SHELLS))
    .addHelpText(
      'after',
      `
Examples:
  source <(taskfleet completion bash)          in ~/.bashrc
  source <(taskfleet completion zsh)           in ~/.zshrc, after compinit
  taskfleet completion fish | source           in ~/.config/fish/config.fish

Completes commands, options and their values, and the names of tasks, queues, workers, schedules and live tasks. The fleet is
asked for names at each Tab; if it does not answer within half a second, there are none.
The shell must find taskfleet in its PATH.`,
    )
    .action((shell: Shell) => {
      io.stdout.write(scriptOf(shell));
    });
}

/** Answers the scripts: a line for each candidate for the last word, with its description after a tab. */
export function defineComplete(complete: Command, io: Io): void {
  complete
    .argument('[words...]')
    .addHelpText(
      'after',
      `
Examples:
  taskfleet complete -- task list --state ''`,
    )
    .action(async (words: string[]) => {
      const [{ completionOf }, { linesOf }] = await Promise.all([import('../completion/words.js'), import('../completion/lines.js')]);
      for (const line of await linesOf(io, completionOf(complete.parent as Command, words))) io.stdout.write(`${line}\n`);
    });
}
