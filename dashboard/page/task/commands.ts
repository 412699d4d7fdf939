import { type Task, isRetryable, isTerminal } from '../parts/api-types.js';
import { nameOf } from '../parts/wording.js';

/** A command about a task, for the CLI and for curl. Neither has the token: it is read from `TASKFLEET_TOKEN`. */
export interface Command {
  readonly title: string;
  readonly cli: string;
  readonly curl: string;
}

/** The input of a task, as far as it can be pasted; null if it cannot: it is hidden, cut, or has censored secrets. */
export type PastedInput = { readonly value: unknown } | null;

/**
 * Returns the commands that suit the task's state.
 * @param root the URL of the dashboard
 */
export function commandsOf(task: Task, root: string, input: PastedInput): Command[] {
  const { id, state } = task;
  const base = root.replace(/\/$/, '');
  const url = `${base}/api/v1/tasks/${encodeURIComponent(id)}`;
  const cli = (command: string, ...options: readonly string[]): string =>
    ['npx taskfleet task', command, ...options, '--api', quote(base), ...positional(id)].join(' ');
  return [
    { title: 'Show', cli: cli('show'), curl: curl('GET', url) },
    ...(isTerminal(state) ? [] : [{ title: 'Stop', cli: cli('stop'), curl: curl('POST', `${url}/stop`, '{}') }]),
    ...(isRetryable(state) ? [{ title: 'Retry', cli: cli('retry'), curl: curl('POST', `${url}/retry`, '{}') }] : []),
    ...(task.name === null ? [] : [enqueueAgain(task, base, input)]),
  ];
}

function enqueueAgain(task: Task, base: string, input: PastedInput): Command {
  const { item, tags, priority } = task;
  const options = [
    ['--input', input === null ? '@input.json' : JSON.stringify(input.value)],
    ...(item === null ? [] : [['--item', item]]),
    ...tags.map((tag) => ['--tag', tag]),
    ...(priority === 0 ? [] : [['--priority', String(priority)]]),
    ['--api', base],
  ].map(([option, value = '']) => (value.startsWith('-') ? `${option}=${quote(value)}` : `${option} ${quote(value)}`));
  return {
    title: 'Enqueue again',
    cli: ['npx taskfleet task enqueue', quote(nameOf(task)), ...options].join(' '),
    curl: curl('POST', `${base}/api/v1/tasks`, input === null ? '@task.json' : JSON.stringify({ ...againBody(task), input: input.value })),
  };
}

/** Returns the body that enqueues a task again, without its input. */
export function againBody({ name, item, tags, priority }: Pick<Task, 'name' | 'item' | 'tags' | 'priority'>): Record<string, unknown> {
  return {
    name,
    ...(item !== null && { item }),
    ...(tags.length > 0 && { tags }),
    ...(priority !== 0 && { priority }),
  };
}

function curl(method: 'GET' | 'POST', url: string, body?: string): string {
  const data = body === undefined ? [] : ["-H 'Content-Type: application/json'", `-d ${quote(body)}`];
  return ['curl -sS', ...(method === 'GET' ? [] : ['-X POST']), '-H "Authorization: Bearer $TASKFLEET_TOKEN"', ...data, quote(url)].join(
    ' ',
  );
}

/** An id that begins with a hyphen would be an option. */
function positional(id: string): readonly string[] {
  return id.startsWith('-') ? ['--', quote(id)] : [quote(id)];
}

/** Quotes a word for a POSIX shell, if it has to be. */
export function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
