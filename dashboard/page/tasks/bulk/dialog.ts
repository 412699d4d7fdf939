import type { Bulk } from '../../parts/api-types.js';
import { write } from '../../parts/api.js';
import { element } from '../../parts/dom.js';
import { type DialogStep, reasonField, runDialog } from '../../parts/ui/dialog.js';
import { count, nameOf } from '../../parts/wording.js';
import type { BulkAction, DryRun } from './request.js';

const VERBS: Readonly<Record<BulkAction, string>> = { stop: 'Stop', retry: 'Retry' };
const NOTES: Readonly<Record<BulkAction, string>> = {
  stop: 'The tasks are cancelled, and will not run again unless they are retried. Tasks enqueued from now on are left out.',
  retry: 'The tasks run again, with their full number of attempts. Tasks that end from now on are left out.',
};

/**
 * Shows the number of tasks and the first ten, asks for confirmation, then starts the bulk. Returns it; null if there is nothing to do or
 * the user cancels.
 * @param chosen the tasks that were chosen one by one; null to count those that the filter in `body` selects
 * @throws TaskfleetError from the dry run
 */
export async function askBulk(
  action: BulkAction,
  body: Readonly<Record<string, unknown>>,
  chosen: DryRun | null,
  fallback: HTMLElement,
): Promise<Bulk | null> {
  const path = `tasks/${action}`;
  const found = chosen ?? (await write<DryRun>(path, { ...body, dry_run: true }));
  const reason = reasonField(action === 'stop' ? 'Reason (optional, stored with each task)' : 'Reason (optional, for the audit)');
  let started: Bulk | null = null;
  const what = `${VERBS[action]} ${found.complete ? '' : 'at least '}${count(found.matched, 'task')}`;
  const step: DialogStep = {
    title: `${what}?`,
    content: [firstTasks(found), element('p', {}, NOTES[action]), reason.field],
    ...{ action: what, dangerous: action === 'stop' },
    submit: async () => {
      const text = reason.value();
      started = await write<Bulk>(path, { ...body, ...(text !== '' && { reason: text }) });
      return null;
    },
  };
  await runDialog(found.matched === 0 ? nothing(action) : step, fallback);
  return started;
}

function nothing(action: BulkAction): DialogStep {
  const text = action === 'stop' ? 'None of these tasks is live any more.' : 'None of these tasks can be retried now.';
  return {
    title: `Nothing to ${action}`,
    content: [element('p', {}, text)],
    ...{ action: 'Close', dangerous: false, submit: () => Promise.resolve(null) },
  };
}

function firstTasks({ first, matched }: DryRun): HTMLElement {
  const more =
    matched > first.length ? [element('li', { class: 'soft' }, `and ${(matched - first.length).toLocaleString('en')} more`)] : [];
  const line = (task: DryRun['first'][number]): HTMLElement =>
    element('li', {}, `${nameOf(task)} `, element('span', { class: 'id' }, task.id), task.item === null ? '' : ` · ${task.item}`);
  return element('ul', { class: 'ids' }, ...first.map(line), ...more);
}
