import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { defineHandler } from 'taskfleet';
import { writeReport } from './tasks.js';

export const reportHandler = defineHandler(writeReport, async ({ input, emit, signal }) => {
  const template = await readFile(input.template, 'utf8');
  for (let page = 1; page <= input.pages; page += 1) {
    emit(`page ${page}: ${template.length} characters`);
    await delay(20, undefined, { signal }); // a stop ends the wait, and the task with it
  }
  return { pages: input.pages };
});
