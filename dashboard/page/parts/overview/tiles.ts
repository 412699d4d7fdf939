import type { Overview } from '../api-types.js';
import { element, setAttribute, setText } from '../dom.js';
import { count, duration } from '../wording.js';
import { NONE, rateText, timeText } from './figures.js';
import { pageUrl, partsOf, setLink, taskUrl, tasksUrl } from './link.js';

/** A number with its label, and the page that it leads to. */
interface Tile {
  readonly label: string;
  readonly value: string;
  readonly href: string | null;
  readonly note: string;
  readonly bad?: boolean;
}

/** Shows the figures of the fleet, each with the page that has more about it. */
export function showTiles(list: HTMLElement, overview: Overview): void {
  const tiles = tilesOf(overview);
  const places = partsOf(list, () => tiles.map(() => element('div')));
  tiles.forEach(({ label, value, href, note, bad = false }, index) => {
    const [term, figure] = partsOf(places[index] as HTMLElement, () => [element('dt'), element('dd')] as const);
    const [link, small] = partsOf(figure, () => [element('a', { class: 'value' }), element('span', { class: 'soft' })] as const);
    setText(term, label);
    setLink(link, value, href);
    setText(small, note);
    setAttribute(figure, 'data-level', bad ? 'bad' : null);
  });
}

function tilesOf({ states, last_hour: hour, oldest_wait: oldest, workers, stops }: Overview): Tile[] {
  const number = (value: number): string => value.toLocaleString('en');
  return [
    {
      ...{ label: 'Running', value: number(states.running), href: tasksUrl({ state: 'running' }) },
      note: `${number(workers.busy)} of ${count(workers.slots, 'slot')} taken`,
    },
    {
      ...{ label: 'Queued', value: number(states.queued + states.in_line), href: tasksUrl({ state: 'queued' }) },
      note: states.in_line > 0 ? `${number(states.in_line)} in line for a limit` : 'none in line for a limit',
    },
    {
      ...{ label: 'Scheduled', value: number(states.scheduled), href: tasksUrl({ state: 'scheduled,retrying' }) },
      note: states.waiting > 0 ? `${number(states.waiting)} more wait for children` : 'for later, or for a retry',
    },
    {
      label: 'Oldest wait',
      ...(oldest === null
        ? { value: NONE, href: null, note: 'no task is ready to run' }
        : { value: duration(oldest.ms), href: taskUrl(oldest.task), note: `${oldest.name ?? oldest.task} on ${oldest.queue}` }),
    },
    {
      ...{ label: 'Failed in the last hour', value: number(hour.failed), href: tasksUrl({ state: 'failed', finished_after: '1h' }) },
      ...{ note: `${number(states.failed)} kept in all`, bad: hour.failed > 0 },
    },
    {
      ...{ label: 'Finished per minute', value: hour.per_minute === null ? NONE : rateText(hour.per_minute) },
      ...{ href: tasksUrl({ state: 'ended', finished_after: '1h' }), note: 'over the last hour' },
    },
    {
      ...{ label: 'Workers', value: number(workers.alive), href: pageUrl('/workers'), bad: workers.alive === 0 },
      note: workersText(workers),
    },
    stopTile(stops),
  ];
}

/** The latency of the last hour; without any, the stop that has waited longest. */
function stopTile({ settled, p95_ms: p95, open, oldest_open_ms: oldest }: Overview['stops']): Tile {
  const href = open > 0 ? tasksUrl({ state: 'stopping' }) : null;
  const note = open > 0 ? `${count(open, 'stop')} not settled` : `${count(settled, 'stop')} in the last hour`;
  if (p95 === null && oldest !== null) return { label: 'Oldest open stop', value: duration(oldest), href, note, bad: true };
  return { label: 'Stop latency p95', value: timeText(p95), href, note };
}

function workersText({ alive, drained, silent }: Overview['workers']): string {
  if (alive === 0) return 'start one: taskfleet worker';
  const parts = [drained > 0 ? `${drained} drained` : '', silent > 0 ? `${silent} silent` : ''].filter((part) => part !== '');
  return parts.join(', ') || 'none drained, none silent';
}
