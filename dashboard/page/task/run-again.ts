import type { Enqueued, Task, TaskInput } from '../parts/api-types.js';
import { ROOT, taskPath, write } from '../parts/api.js';
import { element } from '../parts/dom.js';
import { type DialogStep, labelled, runDialog, termList } from '../parts/ui/dialog.js';
import type { Outcome } from '../parts/ui/feedback.js';
import { nameOf } from '../parts/wording.js';
import { againBody } from './commands.js';
import { CENSORED, readInput } from './read-input.js';

/**
 * Asks for another input, then enqueues a task with it, and with the item, the tags and the priority of this one. The API checks the input
 * against the definition. Returns a link to the new task; null if the user cancels.
 * @param input the present input; null if the user may not see it
 */
export async function runAgain(task: Task, input: TaskInput | null, fallback: HTMLElement): Promise<Outcome | null> {
  const field = element('textarea', { id: 'again-input', rows: 12, spellcheck: 'false', autocomplete: 'off', class: 'json' });
  const isKnown = input !== null && !input.cut && input.problem === null;
  field.value = isKnown ? JSON.stringify(input.input, null, 2) : '{}';
  let made: Enqueued | null = null;
  const step: DialogStep = {
    title: 'Run again with another input',
    content: [
      termList([
        ['Task', nameOf(task)],
        ['Item', task.item ?? '–'],
        ['Tags', task.tags.join(', ') || '–'],
      ]),
      ...notesOn(input),
      labelled('Input, as JSON', field),
    ],
    ...{ action: 'Enqueue', dangerous: false },
    submit: async () => {
      const value = readInput(field.value, input?.censored ?? []);
      made = await write<Enqueued>('tasks', { ...againBody(task), input: value });
      return null;
    },
  };
  await runDialog(step, fallback);
  // oxlint-disable-next-line typescript/no-unnecessary-condition -- set by `submit`
  return made === null ? null : linkTo(made);
}

function linkTo({ id }: Enqueued): Outcome {
  return ['Enqueued as task ', element('a', { href: new URL(taskPath(id), ROOT).href, class: 'id' }, id), '.'];
}

function notesOn(input: TaskInput | null): HTMLElement[] {
  const note =
    input === null
      ? 'Your role does not show you the present input.'
      : input.cut || input.problem !== null
        ? 'The present input is too big to edit here, or unreadable.'
        : input.censored.length > 0
          ? `Replace each ${CENSORED}: ${input.censored.join(', ')}.`
          : null;
  return note === null ? [] : [element('p', { class: 'soft' }, note)];
}
