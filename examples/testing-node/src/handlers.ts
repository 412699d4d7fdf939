import { setTimeout } from 'node:timers/promises';
import { defineHandler } from 'taskfleet';
import { writeReport } from './tasks.js';

/** Makes the handler; a test passes a printer of its own. */
export const reportHandler = (print: (page: string) => Promise<void>) =>
  defineHandler(writeReport, async ({ input, emit, signal, log }) => {
    for (let page = 1; page <= input.pages; page += 1) {
      await setTimeout(20, null, { signal }); // a stop ends the wait, and the task with it
      await print(`${input.user}: page ${page}`);
      emit(`page ${page}`);
    }
    log.info({ pages: input.pages }, 'Wrote a report');
    return { pages: input.pages };
  });
