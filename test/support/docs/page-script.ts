import type { Page, Step } from './snippets.js';

/** Between the outputs of two steps. */
export const SEPARATOR = '\u001E';
/** The port of the dashboard in the documentation, replaced by a free one. */
const DOCUMENTED_PORT = '8420';
const BACKGROUND = /^(?<command>.*?) +& *(?:#.*)?$/;

/** Fails if a command in the background has failed. */
const ENDED_EARLY = 'for pid in "${pids[@]}"; do kill -0 "$pid" 2>/dev/null || wait "$pid"; done';

/** Returns the name of the module of a program. */
export function moduleOf({ line }: Step): string {
  return `line-${line}`;
}

/**
 * Returns a module that runs the page's setup and then each block of a step in a scope of its own. The imports of all blocks go to its
 * top, once each.
 */
export function programOf({ setup }: Page, { blocks }: Step): string {
  const imports = new Set<string>();
  const hoist = (code: string): string =>
    code.replaceAll(/^import\b[^;]*;\n?/gm, (statement) => {
      imports.add(statement.trim());
      return '';
    });
  const body = [hoist(setup), ...blocks.map((block) => `{\n${hoist(block)}}`)];
  return [...imports, 'export {};', ...body, 'process.exit(0);\n'].join('\n');
}

/** Returns a bash script that runs the steps of a page in order, with SEPARATOR after the output of each. */
export function scriptOf({ steps }: Page, port: number): string {
  const parts = steps.map((step) => {
    const commands = step.kind === 'program' ? `node ${moduleOf(step)}.js` : commandsOf(step.blocks.join('\n'), port);
    const checked = step.exitCode === 0 ? commands : `set +e\n(${commands})\n[ $? -eq ${step.exitCode} ] || exit 99\nset -e`;
    return `echo "line ${step.line}" >&2\n${checked}\nprintf '${SEPARATOR}'`;
  });
  return ['set -euo pipefail', 'pids=()', ...parts, ENDED_EARLY, ''].join('\n');
}

/**
 * Returns the commands of a fence as the page's folder runs them: compiled files, the page's own port, and commands in the background
 * that write to a file; after one that starts a dashboard, the next waits until the port answers.
 */
function commandsOf(code: string, port: number): string {
  return code
    .replaceAll(/(?<=[\w-])\.ts\b/g, '.js')
    .replaceAll(DOCUMENTED_PORT, String(port))
    .split('\n')
    .map((line) => {
      const command = BACKGROUND.exec(line)?.groups?.['command'];
      if (command === undefined) return line;
      const started = `${command} >>background.log 2>&1 &\npids+=($!)`;
      if (!/\btaskfleet (?:up|dashboard)\b/.test(command)) return started;
      return `${started}\nuntil (exec 3<>/dev/tcp/127.0.0.1/${port}) 2>/dev/null; do sleep 0.1; done`;
    })
    .join('\n');
}
