import { chunks } from '../limits.js';
import type { RecordSource } from '../records/unreadable.js';
import type { ScriptedRedis } from '../scripts/define-scripts.js';
import { type Findable, indexedName, tagMembers } from './find-index.js';

/** A live task, with its score in the list of live tasks. */
export interface Indexed extends Findable {
  readonly id: string;
  readonly score: string | null;
}

type Source = RecordSource & { readonly redis: ScriptedRedis };

const PAGE = 500;

/** Returns those live tasks that are missing in an index, or are in it with another time. */
export async function missingInIndexes({ redis, keys, unreadable }: Source, tasks: readonly Indexed[]): Promise<Set<string>> {
  const expected = new Map<string, [member: string, task: Indexed][]>();
  const expect = (key: string, member: string, task: Indexed): void => {
    expected.set(key, [...(expected.get(key) ?? []), [member, task]]);
  };
  for (const task of tasks) {
    if (task.name !== undefined) expect(keys.findName(indexedName(task.name)), task.id, task);
    for (const tag of task.tags ?? []) expect(keys.findTag(tag), task.id, task);
    for (const member of tagMembers(task, task.id)) expect(keys.findTexts, member, task);
    if (task.item !== '') expect(keys.findItems, task.item, task);
  }
  const missing = new Set<string>();
  const checking = [...expected].map(async ([key, members]) => {
    const names = members.map(([member]) => member);
    // Nothing can be added to an index of a wrong type.
    const scores = await unreadable.read(key, 'sorted set', redis.zmscore(key, ...names), null);
    members.forEach(([, { id, score }], index) => {
      const wanted = key === keys.findTexts || key === keys.findItems ? '0' : score;
      if (scores !== null && scores[index] !== wanted) missing.add(id);
    });
  });
  await Promise.all(checking);
  return missing;
}

/** Removes stale entries from the indexes of live tasks: a crash, or a program that deletes jobs, leaves them behind. */
export class IndexSweep {
  constructor(private readonly source: Source) {}

  /**
   * Continues after `position`, which is a key and a cursor, and examines up to about `limit` entries. Returns where the next run continues,
   * `''` after the last index, and how many entries were removed.
   * @throws the signal's reason
   */
  async run(
    position: string,
    limit: number,
    signal: AbortSignal | undefined,
  ): Promise<{ readonly next: string; readonly removed: number }> {
    const { redis, keys, unreadable } = this.source;
    const members = await unreadable.read(keys.findNames, 'set', redis.smembers(keys.findNames), []);
    const names = new Map(members.map((member) => [member, keys.findName(member.slice(member.indexOf(':') + 1))]));
    const indexes = [...new Set([keys.findItems, keys.findTexts, ...names.values()])].sort();
    let [key = '', cursor = '0'] = parse(position);
    if (!indexes.includes(key)) [key, cursor] = [indexes.find((index) => index > key) ?? '', '0'];
    let removed = 0;
    for (let examined = 0; key !== '' && examined < limit;) {
      signal?.throwIfAborted();
      const sweeping =
        key === keys.findItems
          ? redis.sweepItems(key, keys.ownItem(''), cursor, PAGE)
          : redis.sweepIndex(key, keys.taskQueues, cursor, PAGE);
      const [next, count, ...stale] = await unreadable.read(key, 'sorted set', sweeping, ['0', 0]);
      if (key === keys.findTexts) await this.#dropTags(stale);
      examined += count;
      removed += stale.length;
      cursor = next;
      if (cursor === '0') key = indexes.find((index) => index > key) ?? '';
    }
    for (const [member, index] of names) await redis.dropName(keys.findNames, index, member);
    return { next: key === '' ? '' : JSON.stringify([key, cursor]), removed };
  }

  /** The texts of a task are removed after its tags, so they tell the indexes of tags that have stale entries. */
  async #dropTags(stale: readonly string[]): Promise<void> {
    const { redis, keys, unreadable } = this.source;
    const tagged = stale.flatMap((member): [key: string, id: string][] => {
      const [text = '', id] = member.split('\0');
      return text.startsWith('t') && id !== undefined ? [[keys.findTag(text.slice(1)), id]] : [];
    });
    for (const some of chunks(tagged, PAGE))
      await Promise.all(some.map(([key, id]) => unreadable.read(key, 'sorted set', redis.zrem(key, id), 0)));
  }
}

function parse(position: string): readonly (string | undefined)[] {
  try {
    const parsed: unknown = JSON.parse(position);
    return Array.isArray(parsed) && parsed.every((part) => typeof part === 'string') ? parsed : [];
  } catch {
    return [];
  }
}
