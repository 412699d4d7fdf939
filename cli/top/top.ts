import { messageOf } from '../../shared/errors.js';
import type { FleetClient } from '../client/client.js';
import type { Io } from '../io.js';
import { untilEnded } from '../screen/attended.js';
import { type Key, Keyboard } from '../screen/keyboard.js';
import { Refresher } from '../screen/refresher.js';
import { Screen } from '../screen/screen.js';
import { paintOf } from '../text/colour.js';
import { receiptText } from '../text/task-text.js';
import { type FleetStatus, readStatus } from './fleet-status.js';
import { type TopView, topLines } from './frame.js';

/** How often the screen is redrawn, so that durations go on, in ms. */
const TICK_MS = 1_000;
/** How long to wait for a stopped task to end, in ms. */
const STOP_WAIT_MS = 10_000;
const PAGE = 10;

/** Shows the fleet on the terminal until the user quits. */
export function runTop(io: Io, client: FleetClient, intervalMs: number): Promise<void> {
  return untilEnded(io, (signal, end) => new Top(io, client, { intervalMs, end }).run(signal));
}

/**
 * The live view of a fleet. Modes: normal; confirming, while the foot asks whether to stop a task, and every key but `y` declines.
 */
class Top {
  readonly #refresher: Refresher<FleetStatus>;
  readonly #screen: Screen;
  readonly #keyboard: Keyboard;
  #selected: string | null = null;
  /** Index of the selected task among the running ones. */
  #place = 0;
  #confirming: string | null = null;
  #notice: TopView['notice'] = null;

  constructor(
    private readonly io: Io,
    private readonly client: FleetClient,
    private readonly options: { readonly intervalMs: number; readonly end: () => void },
  ) {
    const draw = (): void => this.#draw();
    this.#refresher = new Refresher({ read: () => readStatus(client), intervalMs: options.intervalMs, changed: draw });
    this.#screen = new Screen(io, draw);
    this.#keyboard = new Keyboard(io, (key) => this.#press(key), options.end);
  }

  /** @throws what the first read throws */
  async run(signal: AbortSignal): Promise<void> {
    const ticking = setInterval(() => this.#draw(), TICK_MS);
    const close = (): void => {
      clearInterval(ticking);
      this.#screen.close();
      this.#keyboard.close();
    };
    // Not only at the end of the work, which may hang in a read.
    signal.addEventListener('abort', close, { once: true });
    this.#keyboard.open();
    try {
      await this.#refresher.run(signal);
    } finally {
      close();
    }
  }

  #draw(): void {
    const snapshot = this.#refresher.snapshot();
    if (snapshot === null) return;
    this.#keepSelection(snapshot.value);
    this.#screen.open();
    const view = { snapshot, selected: this.#selected, notice: this.#notice };
    this.#screen.draw(topLines(view, this.#screen.size, paintOf(this.io, this.io.stdout), Date.now()));
  }

  /** When the selected task has ended, selects the one in its place. */
  #keepSelection({ running }: FleetStatus): void {
    const ids = running.map(({ id }) => id);
    if (this.#selected === null || !ids.includes(this.#selected)) this.#selected = ids[Math.min(this.#place, ids.length - 1)] ?? null;
    this.#place = this.#selected === null ? 0 : ids.indexOf(this.#selected);
  }

  #press(key: Key): void {
    if (key === 'ctrl+c') return this.options.end();
    if (this.#confirming !== null) return this.#answer(this.#confirming, key);
    this.#notice = null;
    switch (key) {
      case 'q':
        return this.options.end();
      case 'r':
        return this.#refresher.refresh();
      case 's':
        this.#ask();
        break;
      case 'k':
      case 'up':
        this.#move(-1);
        break;
      case 'j':
      case 'down':
        this.#move(1);
        break;
      case 'page up':
        this.#move(-PAGE);
        break;
      case 'page down':
        this.#move(PAGE);
        break;
      case 'home':
        this.#move(-Infinity);
        break;
      case 'end':
        this.#move(Infinity);
        break;
    }
    this.#draw();
  }

  #move(by: number): void {
    const ids = this.#refresher.snapshot()?.value.running.map(({ id }) => id) ?? [];
    this.#place = Math.min(Math.max(0, this.#place + by), Math.max(0, ids.length - 1));
    this.#selected = ids[this.#place] ?? null;
  }

  #ask(): void {
    const snapshot = this.#refresher.snapshot();
    const task = snapshot?.value.running.find(({ id }) => id === this.#selected);
    if (!snapshot || !task) return;
    if (snapshot.stale !== null) {
      this.#notice = { text: 'Not while the fleet does not answer.', tone: 'bad' };
      return;
    }
    this.#confirming = task.id;
    this.#notice = { text: `Stop ${task.name ?? 'task'} ${task.id}? y stops it, any other key does not.`, tone: 'warning' };
  }

  #answer(id: string, key: Key): void {
    this.#confirming = null;
    this.#notice = key === 'y' ? { text: `Stopping ${id}…`, tone: 'ending' } : { text: `Did not stop ${id}.`, tone: null };
    if (key === 'y') void this.#stop(id);
    this.#draw();
  }

  async #stop(id: string): Promise<void> {
    try {
      const [receipt] = await this.client.stop([id], { reason: 'stopped in taskfleet top', waitMs: STOP_WAIT_MS });
      this.#notice = {
        text: `${id}: ${receipt ? receiptText(receipt) : 'no receipt'}`,
        tone: receipt?.outcome === 'cancelled' ? 'good' : 'warning',
      };
    } catch (error) {
      this.#notice = { text: `${id}: ${messageOf(error)}`, tone: 'bad' };
    }
    this.#refresher.refresh();
    this.#draw();
  }
}
