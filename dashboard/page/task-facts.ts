import { ROOT } from './api.js';
import type { Task } from './api-types.js';
import { element, moment } from './element.js';
import { attemptOf } from './wording.js';

/** What there is to say about a task, as terms and values. Its input is on the board, for those who may see it. */
export function taskFacts(task: Task, seesInput: boolean): [string, Node | string][] {
  const { id, name, queue, item, worker, stop } = task;
  const facts: [string, Node | string][] = [
    ['Name', name ?? 'of another program'],
    ['Item', item === null ? '–' : itemLink(item)],
    ['Queue', queue ?? '–'],
    ['Attempt', attemptOf(task)],
    ['Worker', worker ?? '–'],
    ['Enqueued', moment(task.enqueued_at)],
    ['Started', moment(task.started_at)],
    ['Finished', moment(task.finished_at)],
  ];
  if (seesInput && queue !== null) facts.push(['Input', element('a', { href: new URL(`board/queue/${encodeURIComponent(queue)}/${encodeURIComponent(id)}`, ROOT).href }, 'on the board')]);
  if (stop) facts.push(['Stop asked for', moment(stop.at)], ['Stopped by', stop.by ?? '–'], ['Reason', stop.reason ?? '–']);
  return facts;
}

function itemLink(item: string): HTMLElement {
  const url = new URL(ROOT);
  url.searchParams.set('item', item);
  return element('a', { href: url.href }, item);
}
