import type { TaskInput } from '../parts/api-types.js';
import { read, taskPath } from '../parts/api.js';
import { element, setText } from '../parts/dom.js';
import { showProblem } from '../parts/ui/feedback.js';
import { copyButton } from './commands-dialog.js';
import type { PastedInput } from './commands.js';
import { valueTree } from './value-tree.js';

/** The input of a task, read once it is asked for: it never changes. */
export class InputPanel {
  #reading: Promise<TaskInput> | null = null;

  constructor(
    private readonly id: string,
    private readonly panel: HTMLElement,
    private readonly problem: HTMLElement,
  ) {}

  /** @throws TaskfleetError */
  read(): Promise<TaskInput> {
    this.#reading ??= read<TaskInput>(`${taskPath(this.id)}/input`).catch((error: unknown) => {
      this.#reading = null;
      throw error;
    });
    return this.#reading;
  }

  /** Returns the input to paste; null if it is not complete, or cannot be read. */
  async pasted(): Promise<PastedInput> {
    const found = await this.read().catch(() => null);
    return found === null || !isWhole(found) ? null : { value: found.input };
  }

  async open(): Promise<void> {
    if (this.panel.childElementCount > 0) return;
    setText(this.panel, 'Loading …');
    try {
      const found = await this.read();
      this.panel.replaceChildren(...notesOn(found), valueTree(found.input));
      showProblem(this.problem, null);
    } catch (error) {
      this.panel.replaceChildren();
      showProblem(this.problem, error);
    }
  }
}

/** Whether an input is shown as it is stored. */
export function isWhole({ cut, censored, problem }: TaskInput): boolean {
  return !cut && censored.length === 0 && problem === null;
}

function notesOn(found: TaskInput): HTMLElement[] {
  const { input, bytes, cut, censored, problem } = found;
  const notes = [
    bytes === null ? 'Another program keeps the input of this task.' : `${bytes.toLocaleString('en')} bytes`,
    cut ? 'too big to show whole' : null,
    censored.length > 0 ? `secrets are hidden: ${censored.join(', ')}` : null,
    problem,
  ].filter((note) => note !== null);
  const copy = isWhole(found) ? [' ', copyButton(JSON.stringify(input, null, 2), 'the input')] : [];
  return [element('p', { class: 'soft' }, notes.join(' · '), ...copy)];
}
