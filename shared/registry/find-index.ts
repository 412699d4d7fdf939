import { append } from '../groups.js';
import type { Keys } from '../keys.js';
import { MAX_NAME_LENGTH } from '../limits.js';

/** What a search finds a task by. */
export interface Findable {
  /** `''` for none. */
  readonly item: string;
  /** Default: unknown, and not indexed. */
  readonly name?: string | undefined;
  readonly tags?: readonly string[] | undefined;
}

/** The kinds of texts by which a search finds tasks in lexical order. */
export type TextKind = 'i' | 't';

/** Separates a text from the task's id: neither items nor tags contain control characters. */
const SEPARATOR = '\0';

/** Returns the member for an item or tag of a task, in the index of a queue's ended tasks; for a tag also in `p:find:texts`. */
export function textMember(kind: TextKind, text: string, id: string): string {
  return `${kind}${text}${SEPARATOR}${id}`;
}

/** Returns the members of an ended task, for its item and tags. */
export function textMembers(task: Findable, id: string): string[] {
  const members = tagMembers(task, id);
  if (task.item !== '') members.push(textMember('i', task.item, id));
  return members;
}

/** Returns the members of a task in `p:find:texts`, for its tags. */
export function tagMembers({ tags = [] }: Findable, id: string): string[] {
  return tags.map((tag) => textMember('t', tag, id));
}

/** Returns the name under which a task is indexed: a plain BullMQ client may have used a longer one. */
export function indexedName(name: string): string {
  return name.length > MAX_NAME_LENGTH ? name.slice(0, MAX_NAME_LENGTH).toWellFormed() : name;
}

/** Returns the member of a queue and a name of its tasks, in `p:find:names`. A queue's name contains no colon. */
export function nameMember(queue: string, name: string): string {
  return `${queue}:${name}`;
}

/**
 * Collects writes to the indexes of live tasks, by key. An index is only a shortcut: a search checks each task that it finds there, and the
 * reconciler adds missing entries and removes stale ones.
 *
 * The index of items has each item once. Its tasks are added to the item first, and the item leaves the index with the last of them: see
 * the script `leaveItems`.
 */
export class FindIndex {
  /** Scores and members by key. */
  readonly #added = new Map<string, (string | number)[]>();
  readonly #removed = new Map<string, string[]>();
  #names = new Set<string>();
  #items = new Set<string>();

  constructor(private readonly keys: Keys) {}

  add(id: string, queue: string, at: number, found: Findable): void {
    const { name, tags = [] } = found;
    if (name !== undefined) {
      append(this.#added, this.keys.findName(indexedName(name)), at, id);
      this.#names.add(nameMember(queue, indexedName(name)));
    }
    for (const tag of tags) append(this.#added, this.keys.findTag(tag), at, id);
    for (const member of tagMembers(found, id)) append(this.#added, this.keys.findTexts, 0, member);
    if (found.item !== '') this.#items.add(found.item);
  }

  remove(id: string, found: Findable): void {
    const { name, tags = [] } = found;
    if (name !== undefined) append(this.#removed, this.keys.findName(indexedName(name)), id);
    for (const tag of tags) append(this.#removed, this.keys.findTag(tag), id);
    for (const member of tagMembers(found, id)) append(this.#removed, this.keys.findTexts, member);
  }

  /** Returns the collected additions, scores and members by key, and the names of queues that have them. Starts over. */
  takeAdded(): { readonly members: [key: string, words: (string | number)[]][]; readonly names: string[] } {
    for (const item of this.#items) append(this.#added, this.keys.findItems, 0, item);
    const taken = { members: [...this.#added], names: [...this.#names] };
    this.#added.clear();
    this.#names = new Set();
    this.#items = new Set();
    return taken;
  }

  /** Returns the collected removals by key, without items. Starts over. */
  takeRemoved(): [key: string, members: string[]][] {
    const taken = [...this.#removed];
    this.#removed.clear();
    return taken;
  }
}
