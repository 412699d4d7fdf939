import { ROOT } from './api.js';
import type { Task } from './api-types.js';
import { element, moment } from './element.js';
import { attemptOf, nameOf } from './wording.js';

/** What there is to say about a task, as terms and values. Its input is on the board, for those who may see it. */
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
      element('a', { href: new URL(`board/queue/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`, ROOT).href }, 'on the board'),
    ]);
  if (problem !== null) facts.push(['Cannot be read', problem]);
  if (stop) facts.push(['Stop asked for', moment(stop.at)], ['Stopped by', stop.by ?? '–'], ['Reason', stop.reason ?? '–']);
  return facts;
}

function itemLink(item: string): HTMLElement {
  const url = new URL(ROOT);
  url.searchParams.set('item', item);
  return element('a', { href: url.href }, item);
}
