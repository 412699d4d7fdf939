import type { Task } from '../parts/api-types.js';
import { ROOT, taskPath } from '../parts/api.js';
import { element } from '../parts/dom.js';
import { exactMoment, timeElement } from '../parts/ui/time.js';
import { lineText } from '../parts/waiting-text.js';
import { attemptOf, span } from '../parts/wording.js';
import { exactly } from '../tasks/query.js';

type Waiting = NonNullable<Task['waiting_for']>;

/** Creates a task's details as terms and values. */
export function taskFacts(task: Task): HTMLElement[] {
  const { queue, item, tags, worker, stop, problem, limits } = task;
  const facts: [string, Node | string][] = [
    ['Item', item === null ? '–' : listLink('item', exactly(item), item)],
    ...(tags.length === 0
      ? []
      : [['Tags', element('span', { class: 'chips' }, ...tags.map((tag) => listLink('tag', tag, tag, 'chip')))] as const]),
    ['Queue', queue === null ? '–' : listLink('queue', queue, queue)],
    ['Attempt', attemptOf(task)],
    ['Worker', worker === null ? '–' : listLink('worker', worker, worker)],
    ['Enqueued', timeElement(task.enqueued_at)],
    ['Started', timeElement(task.started_at)],
    ['Finished', timeElement(task.finished_at)],
  ].map(([term, value]) => [term as string, value as Node | string]);
  const ran = runTime(task);
  if (ran !== null) facts.push(['Run time', ran]);
  if (task.waiting_for) facts.push(['Waiting for', waitingNode(task.waiting_for)]);
  if (task.next_attempt_at !== null) facts.push(['Next attempt', timeElement(task.next_attempt_at, 'due')]);
  if (task.deadline !== null) facts.push(['Must start by', exactMoment(task.deadline)]);
  if (task.priority !== 0) facts.push(['Priority', task.priority.toLocaleString('en')]);
  if (limits !== null && limits.length > 0) facts.push(['Limits', limitsNode(limits)]);
  if (problem !== null) facts.push(['Unreadable', problem]);
  if (task.dedupe_key !== null) facts.push(['Deduplication key', task.dedupe_key]);
  if (task.skipped_for !== null) facts.push(['Skipped: overlapped', taskLink(task.skipped_for)]);
  if (stop) facts.push(['Stop requested', timeElement(stop.at)], ['Stopped by', stop.by ?? '–'], ['Reason', stop.reason ?? '–']);
  return facts.map(([term, value]) => element('div', {}, element('dt', {}, term), element('dd', {}, value)));
}

/** Returns how long the last attempt ran; null unless the task has ended. */
function runTime({ started_at: startedAt, finished_at: finishedAt }: Task): string | null {
  return startedAt === null || finishedAt === null ? null : span(Math.max(0, Date.parse(finishedAt) - Date.parse(startedAt)));
}

/** `3 at once for chat:1; 5 in 1 s for report.write`, which links the page of the limits. */
function limitsNode(limits: NonNullable<Task['limits']>): HTMLElement {
  const texts = limits.map(({ limit, per_ms: perMs, name, key }) => {
    const amount = perMs === null ? `${limit.toLocaleString('en')} at once` : `${limit.toLocaleString('en')} in ${span(perMs)}`;
    return `${amount} for ${key ?? name}`;
  });
  return element('a', { href: new URL('limits', ROOT).href }, texts.join('; '));
}

/** `queue chat is paused by alice since 14:05: the model is down; third in line for chat:1, behind <task>, <task> (limit 2, 7 in line)`. */
function waitingNode(waiting: Waiting): HTMLElement {
  if (waiting.kind !== 'paused') return element('span', {}, ...limitNodes(waiting));
  const queues = new URL('queues', ROOT).href;
  const { queue, since, by, reason, limit_wait: limit } = waiting;
  return element(
    'span',
    {},
    element('a', { href: queues }, `queue ${queue}`),
    ` is paused${by === null ? '' : ` by ${by}`}`,
    ...(since === null ? [] : [' since ', exactMoment(since)]),
    reason === null ? '' : `: ${reason}`,
    ...(limit === null ? [] : ['; ', ...limitNodes(limit)]),
  );
}

function limitNodes(wait: Exclude<Waiting, { readonly kind: 'paused' }>): (Node | string)[] {
  const { behind, limit, running, length, kind } = wait;
  const links = (behind ?? []).flatMap((other, index) => [index === 0 ? ', behind ' : ', ', taskLink(other)]);
  const more = behind !== null && behind.length > 0 && running > behind.length ? ` and ${running - behind.length} more` : '';
  const about = kind === 'rate' ? `${length} in line` : `limit ${limit}, ${length} in line`;
  return [lineText(wait), ...links, `${more} (${about})`];
}

function taskLink(other: string): HTMLElement {
  return element('a', { href: new URL(taskPath(other), ROOT).href, class: 'id' }, other);
}

/** Links the list with one condition. */
function listLink(field: 'item' | 'tag' | 'queue' | 'worker', value: string, text: string, style = ''): HTMLElement {
  const url = new URL('tasks', ROOT);
  url.searchParams.set(field, value);
  if (field !== 'queue') url.searchParams.set('state', 'all');
  return element('a', { href: url.href, ...(style !== '' && { class: style }) }, text);
}
