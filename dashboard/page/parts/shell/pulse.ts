import type { FleetStatus } from '../api-types.js';
import { ROOT, read } from '../api.js';
import { byId, element } from '../dom.js';
import { clockTime, exactTime } from '../ui/time.js';
import { heard, lost } from './connection.js';
import { showFailures } from './title.js';

const EVERY_MS = 4_000;
const HIDDEN_MS = 30_000;
const SOURCE = 'pulse';

/** Asks for the state of the fleet, on every page: for the connection state, the banner of paused queues and the document's title. */
export function startPulse(): void {
  let timer = 0;
  const run = async (): Promise<void> => {
    window.clearTimeout(timer);
    try {
      const status = await read<FleetStatus>('status');
      heard(SOURCE, document.hidden ? HIDDEN_MS : EVERY_MS);
      showFailures(status.failed_last_hour ?? 0);
      showPaused(status.paused_queues);
    } catch (error) {
      lost(SOURCE, error);
    }
    // A hidden page asks too, seldom: its title is all that is seen.
    timer = window.setTimeout(() => void run(), document.hidden ? HIDDEN_MS : EVERY_MS);
  };
  document.addEventListener('visibilitychange', () => !document.hidden && void run());
  void run();
}

let shown = '[]';

function showPaused(queues: FleetStatus['paused_queues']): void {
  const key = JSON.stringify(queues);
  if (key === shown) return;
  shown = key;
  const banner = byId('paused', HTMLElement);
  banner.hidden = queues.length === 0;
  banner.replaceChildren(
    ...queues.map(({ name, at, by, reason }) =>
      element(
        'p',
        at === null ? {} : { title: exactTime(at) },
        '‖ Queue ',
        element('a', { href: new URL('queues', ROOT).href }, name),
        ' is paused',
        at === null ? '' : ` since ${clockTime(Date.parse(at))}`,
        by === null ? '' : ` by ${by}`,
        reason === null ? '.' : `: ${reason}`,
      ),
    ),
  );
}
