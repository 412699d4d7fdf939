import type { CheckedFilter, TextMatch } from '../task/filter/filter.js';
import { isVisibleItem } from '../task/filter/item-pattern.js';
import { isOnQueue } from '../task/shards.js';
import type { TaskView } from '../task/view.js';

/** Returns whether a task passes a filter, except for its times. */
export function matchesFilter(task: TaskView, filter: CheckedFilter): boolean {
  const { states, name, item, queue, tags, worker, search, visibleItems } = filter;
  if (!states.has(task.state) || !isVisibleItem(visibleItems, task.item)) return false;
  if (!isMatch(name, task.name) || !isMatch(item, task.item)) return false;
  if (queue !== null && (task.queue === null || !isOnQueue(task.queue, queue))) return false;
  if (worker !== null && task.worker !== worker) return false;
  if (tags.some((tag) => !task.tags.includes(tag))) return false;
  // The error of a view may be cut: scripts search the whole.
  if (filter.error !== null && (task.error === null || task.state === 'unreadable')) return false;
  return search === null || [task.id, task.item, task.name, ...task.tags].some((text) => text?.startsWith(search) ?? false);
}

/** Returns whether a task of another program passes a filter: it has no times. */
export function matchesForeign(task: TaskView, filter: CheckedFilter): boolean {
  const { enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, olderThanMs } = filter;
  const times = [enqueuedAfter, enqueuedBefore, finishedAfter, finishedBefore, olderThanMs];
  return times.every((time) => time === null) && matchesFilter(task, filter);
}

function isMatch(match: TextMatch | null, value: string | null): boolean {
  if (match === null) return true;
  if (value === null) return false;
  return match.prefix ? value.startsWith(match.text) : value === match.text;
}
