import type { Me, Task } from '../parts/api-types.js';
import { actionOf, askAndStop, retry } from '../parts/task-actions.js';
import { actionButton } from '../parts/ui/action.js';
import type { Column } from '../parts/ui/keyed-table.js';

interface ActionOptions {
  readonly principal: Me;
  /** Focused after a dialog whose button is gone. */
  readonly fallback: HTMLElement;
  /** Called with a task that has changed. */
  readonly changed: (task: Task) => void;
}

/** The column with the one thing to do about a task: Stop while it is live, Retry once it has ended in vain, or nothing. */
export function actionColumn(options: ActionOptions): Column<Task> {
  const tasks = new WeakMap<HTMLElement, Task>();
  return {
    ...{ label: 'Action', kind: 'col-action' },
    show: (cell, task) => {
      tasks.set(cell, task);
      const action = actionOf(task, options.principal) ?? '';
      // A button at work stays: its outcome is shown beside it.
      if (cell.dataset['action'] === action || cell.querySelector('[aria-busy]')) return;
      cell.dataset['action'] = action;
      cell.replaceChildren(...(action === '' ? [] : [buttonOf(action, task.id, () => tasks.get(cell) as Task, options)]));
    },
  };
}

function buttonOf(action: 'stop' | 'retry', id: string, current: () => Task, { fallback, changed }: ActionOptions): HTMLButtonElement {
  if (action === 'stop') return actionButton({ label: 'Stop', subject: id, danger: true, run: () => askAndStop(current(), fallback) });
  return actionButton({
    ...{ label: 'Retry', subject: id },
    run: async () => {
      const task = await retry(current());
      changed(task);
      return `Retried: ${task.state}.`;
    },
  });
}
