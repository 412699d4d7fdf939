import { z } from 'zod';
import { FleetError, messageOf } from '../errors.js';
import { problemOfItem } from '../keys.js';
import type { KeyedTask } from '../limiter/policy.js';
import { MAX_TAGS } from '../limits.js';

/** Returns the tags of a task; null or undefined for none. */
export type TagsOf<Input = unknown> = (task: KeyedTask<Input>) => readonly string[] | null | undefined;

/** The tags of a definition's tasks: fixed ones, or computed at the enqueue. */
export type TagPolicy<Input = unknown> = readonly string[] | TagsOf<Input>;

/** The part of a definition that tags its tasks. Definitions of older copies of this package have no `tags`. */
interface Tagged {
  readonly name: string;
  readonly tags?: TagPolicy | null;
}

/** The schema of a definition's `tags`. */
export const tagsSchema = z
  .custom<TagPolicy>()
  .check((context) => {
    const problem = typeof context.value === 'function' ? null : problemOfTags(context.value);
    if (problem !== null) context.issues.push({ code: 'custom', input: context.value, message: problem });
  })
  .optional();

/** Returns what is wrong with a list of tags, or null. */
export function problemOfTags(tags: unknown): string | null {
  if (!Array.isArray(tags)) return `expected a list of tags, got ${tags === null ? 'null' : typeof tags}`;
  if (tags.length > MAX_TAGS) return `expected at most ${MAX_TAGS} tags, got ${tags.length}`;
  for (const tag of tags) {
    const problem = problemOfItem(tag);
    if (problem !== null) return problem;
  }
  return null;
}

/** Where the tags of a task come from besides its definition. */
interface TagSources {
  /** The tags of the enqueue. */
  readonly given?: readonly string[] | undefined;
  /** The tags of the parent. */
  readonly inherited?: readonly string[] | undefined;
}

/**
 * Returns the tags of a task, each once: its parent's, its definition's and its own.
 * @throws FleetError `INVALID_OPTION`; `INVALID_INPUT` if the definition's function fails
 */
export function tagsOf(definition: Tagged, task: KeyedTask, { given = [], inherited = [] }: TagSources): readonly string[] {
  const problem = problemOfTags(given);
  if (problem !== null) throw bad(problem);
  const own = definition.tags ? ofDefinition(definition.name, definition.tags, task) : [];
  if (own.length + given.length === 0) return inherited;
  const tags = [...new Set([...inherited, ...own, ...given])];
  if (tags.length > MAX_TAGS)
    throw bad(`expected at most ${MAX_TAGS} tags with those of the definition and the parent task, got ${tags.length}`);
  return tags;
}

function ofDefinition(name: string, tags: TagPolicy, task: KeyedTask): readonly string[] {
  if (typeof tags !== 'function') return tags;
  const computed = compute(name, tags, task) ?? [];
  const problem = problemOfTags(computed);
  if (problem !== null) throw failed(name, problem);
  return computed;
}

function compute(name: string, tags: TagsOf, task: KeyedTask): ReturnType<TagsOf> {
  try {
    return tags(task);
  } catch (error) {
    throw failed(name, messageOf(error), error);
  }
}

function failed(name: string, problem: string, cause?: unknown): FleetError {
  const details = { task: name, field: 'tags' };
  return new FleetError('INVALID_INPUT', `Bad input for ${name}: its tags failed (${problem}).`, { cause, details });
}

function bad(problem: string): FleetError {
  return new FleetError('INVALID_OPTION', `Bad tags: ${problem}.`, { details: { field: 'tags' } });
}
