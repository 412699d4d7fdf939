import type { Worker } from 'bullmq';
import { FINISH_KEYS } from '../../../shared/scripts/finish-jobs.js';
import { END_STOPPED, wrapScripts } from '../bullmq-overrides.js';
import { type ScriptArguments, TurnBatch } from './turn-batch.js';

/** Our command `endStopped` in a loop: see `defineFinishes`. */
const END_MANY_STOPPED = 'endManyStopped';
/** Position of the text of the failure among the arguments. */
const TEXT = FINISH_KEYS + 3;

/** Makes a worker settle the stopped runs that end in one turn of the event loop by one call: the stop of an item aborts many at once. */
export function batchStops(worker: Worker): void {
  const lengthOf = (args: ScriptArguments): number => (args[TEXT] as string).length;
  wrapScripts(worker, (execute) => {
    const batch = new TurnBatch({ one: END_STOPPED, many: END_MANY_STOPPED, argumentsOf, lengthOf }, execute);
    return (client, script, args) => (script === END_STOPPED ? batch.add(client, args) : execute(client, script, args));
  });
}

/** The keys differ in that of the job, which the script replaces. */
function argumentsOf(calls: readonly ScriptArguments[]): unknown[] {
  const [first, ...others] = calls as [ScriptArguments, ...ScriptArguments[]];
  return [...first, ...others.flatMap((args) => args.slice(FINISH_KEYS))];
}
