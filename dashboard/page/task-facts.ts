import { ROOT } from './parts/api.js';
import type { Task } from './parts/api-types.js';
import { element, moment } from './parts/element.js';
import { attemptOf, nameOf } from './parts/wording.js';

/** Returns a task's details as terms and values. Its input is on the board, linked for callers that may see it. */
export function taskFacts(task: Task, seesInput: boolean): [string, Node | string][] {
  const { id, queue, item, worker, stop, problem } = task;
  const facts: [string, Node | string][] = [
    ['Name', nameOf(task)],
    ['Item', item === null ? '–' : itemLink(item)],
    ['Queue', queue ?? '–'],
    ['Attempt', attemptOf(task)],
    ['Worker', worker ?? '–'],
    ['Enqueued', moment(task.enqueued_at)],
    ['Started', moment(task.started_at)],
    ['Finished', moment(task.finished_at)],
  ];
  if (seesInput && queue !== null)
    facts.push([
      'Input',
      element('a', { href: new URL(`board/queue/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`, ROOT).href }, 'view on the board'),
    ]);
  if (problem !== null) facts.push(['Unreadable', problem]);
  if (stop) facts.push(['Stop requested', moment(stop.at)], ['Stopped by', stop.by ?? '–'], ['Reason', stop.reason ?? '–']);
  return facts;
}

function itemLink(item: string): HTMLElement {
  const url = new URL(ROOT);
  url.searchParams.set('item', item);
  return element('a', { href: url.href }, item);
}
