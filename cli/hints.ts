import { similarTo } from '../shared/similar.js';
import type { FilterFlags } from './filter-options.js';
import type { Io } from './io.js';
import type { GlobalOptions } from './options.js';

/** Options with a name that may be mistyped, and what it names. */
const NAMED = { name: 'tasks', queue: 'queues', worker: 'workers' } as const;

/**
 * Returns ` Did you mean --name invoice.send?` for a filter that matches nothing and has a name that the fleet does not know but is like
 * a known one; else an empty text.
 */
export async function filterHint(io: Io, flags: GlobalOptions & FilterFlags): Promise<string> {
  const { namesOf } = await import('./completion/names.js');
  for (const option of ['name', 'queue', 'worker'] as const) {
    const given = flags[option];
    if (given === undefined || given.endsWith('*')) continue;
    const similar = similarTo(given, await namesOf(io, flags, NAMED[option]));
    if (similar !== null) return ` Did you mean --${option} ${similar}?`;
  }
  return '';
}
