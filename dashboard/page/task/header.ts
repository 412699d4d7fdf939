import { type Me, type Task, isRetryable, isTerminal, mayOperate, mayStop } from '../parts/api-types.js';
import { now } from '../parts/api.js';
import { attentionOf } from '../parts/attention.js';
import { byId, setAttribute, setText } from '../parts/dom.js';
import { useKeys } from '../parts/shell/keys.js';
import { setTitle } from '../parts/shell/title.js';
import { askAndStop, retry } from '../parts/task-actions.js';
import { type Outcome, runWithFeedback } from '../parts/ui/feedback.js';
import { waitingText } from '../parts/waiting-text.js';
import { nameOf, nextAttemptText } from '../parts/wording.js';
import { copyButton, showCommands } from './commands-dialog.js';
import type { InputPanel } from './input-panel.js';
import { runAgain } from './run-again.js';

interface HeaderOptions {
  readonly id: string;
  readonly principal: Me;
  /** Null if the caller may not see the input. */
  readonly input: InputPanel | null;
  /** Called with the task after a retry. */
  readonly retried: (task: Task) => void;
}

/** The title of the page: name, state, and what may be done with the task. */
export class Header {
  readonly #title = byId('title', HTMLElement);
  readonly #stop = byId('stop', HTMLButtonElement);
  readonly #retry = byId('retry', HTMLButtonElement);
  readonly #again = byId('again', HTMLButtonElement);
  readonly #commands = byId('commands', HTMLButtonElement);
  #task: Task | null = null;

  constructor(private readonly options: HeaderOptions) {
    const { id, input, retried } = options;
    setText(byId('task-id', HTMLElement), id);
    byId('copy-id', HTMLElement).append(copyButton(id, 'the id'));
    setTitle(id);
    this.#on(this.#stop, (task) => askAndStop(task, this.#title));
    this.#on(this.#retry, async (task) => {
      const again = await retry(task);
      retried(again);
      return `Retried: ${again.state}.`;
    });
    this.#on(this.#again, async (task) => runAgain(task, (await input?.read().catch(() => null)) ?? null, this.#title));
    this.#on(this.#commands, async (task) => {
      showCommands(task, (await input?.pasted()) ?? null);
      return null;
    });
    const click = (button: HTMLButtonElement) => () => button.hidden || button.click();
    useKeys({
      s: { does: 'Stop the task', run: click(this.#stop) },
      r: { does: 'Retry the task', run: click(this.#retry) },
      c: { does: 'Show commands', run: click(this.#commands) },
    });
  }

  show(task: Task): void {
    this.#task = task;
    const { principal } = this.options;
    setText(this.#title, nameOf(task));
    setTitle(`${nameOf(task)} ${task.state}`);
    setText(byId('state', HTMLElement), task.state);
    setAttribute(byId('state', HTMLElement), 'data-state', task.state);
    this.#stop.hidden = isTerminal(task.state) || !mayStop(principal);
    // Without a disabled button: the state says that a stop is under way.
    if (task.state === 'stopping') this.#stop.hidden = true;
    this.#retry.hidden = !mayOperate(principal) || !isRetryable(task.state);
    this.#again.hidden = principal.role === 'viewer' || task.name === null;
    this.#commands.hidden = false;
    this.tick();
  }

  /** Updates the texts that depend on the time. */
  tick(): void {
    const task = this.#task;
    if (task === null) return;
    const due = waitingText(task, now()) ?? nextAttemptText(task, now());
    byId('due', HTMLElement).hidden = due === null;
    setText(byId('due', HTMLElement), due ?? '');
    const attention = attentionOf(task, { now: now(), typical: new Map(), silent: new Set() });
    byId('note', HTMLElement).hidden = attention === null;
    setText(byId('note', HTMLElement), attention === null ? '' : `⚠ ${attention.text}`);
  }

  #on(button: HTMLButtonElement, run: (task: Task) => Promise<Outcome | null>): void {
    button.addEventListener('click', () => {
      const task = this.#task;
      if (task !== null) void runWithFeedback(button, () => run(task));
    });
  }
}
