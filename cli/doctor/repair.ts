import type { UnreadableRecord } from '../../shared/records/unreadable.js';

/** Commands that remove a member, by type of the key. */
const REMOVALS: Readonly<Record<string, string>> = { hash: 'HDEL', set: 'SREM', zset: 'ZREM', stream: 'XDEL' };
/** The field that every job must have. */
const NEEDED = 'timestamp';

/**
 * Returns the command that repairs or removes an unreadable record.
 * @param type the type of the record's key, as TYPE returns it
 * @param isWhole whether the key itself has the wrong type
 */
export function repairOf({ key, id, problem }: UnreadableRecord, type: string, isWhole: boolean): string {
  if (isWhole) return command('RENAME', key, `${key}.moved`);
  if (id !== undefined)
    return type === 'list'
      ? command('LREM', key, '0', id)
      : command(REMOVALS[type] ?? 'DEL', key, ...(REMOVALS[type] === undefined ? [] : [id]));
  const fields = [...problem.matchAll(/(?:^|; )(\w+)(?:\.\w+)?: expected/g)].map(([, field]) => field as string);
  const removed = [...new Set(fields)].filter((field) => field !== NEEDED);
  if (type !== 'hash' || fields.length === 0) return command('DEL', key);
  return [
    ...(fields.includes(NEEDED) ? [command('HSET', key, NEEDED, String(Date.now()))] : []),
    ...(removed.length > 0 ? [command('HDEL', key, ...removed)] : []),
  ].join(' && ');
}

function command(...words: readonly string[]): string {
  return ['redis-cli', ...words.map(quoted)].join(' ');
}

/** Quotes a word for the shell, with escapes for control characters. */
function quoted(word: string): string {
  if (/^[\w.:@%+=/-]+$/.test(word)) return word;
  // eslint-disable-next-line no-control-regex -- matches control characters on purpose
  if (!/[\u0000-\u001f\u007f-\u009f]/.test(word)) return `'${word.replaceAll("'", "'\\''")}'`;
  const escaped = (character: string): string => Buffer.from(character).toString('hex').replaceAll(/../g, '\\x$&');
  return `$'${word.replaceAll(/[^\w .:@%+=/-]/gu, escaped)}'`;
}
