import type { Worker } from 'bullmq';
import { FINISH_KEYS } from '../../../shared/scripts/finish-jobs.js';
import { wrapScripts } from '../bullmq-overrides.js';
import { type ScriptArguments, TurnBatch } from './turn-batch.js';

const FINISH = 'moveToFinished';
/** Our command around BullMQ's script `moveToFinished`: see `defineFinishes`. */
const COMPLETE_JOBS = 'completeJobs';

/** Positions among the arguments of `moveToFinished`. */
const ID = FINISH_KEYS;
const ENDED_AT = ID + 1;
const RESULT_FIELD = ID + 2;
const RESULT = ID + 3;
const TARGET = ID + 4;
const FETCH_NEXT = ID + 5;
const PREFIX = ID + 6;
const OPTIONS = ID + 7;
const FIELDS = ID + 8;

/**
 * Makes a worker complete the jobs that end in one turn of the event loop by one call of BullMQ's script in a loop: their keys are sent
 * once, and the functions of the script are created once.
 */
export function batchCompletions(worker: Worker): void {
  const lengthOf = (args: ScriptArguments): number => (args[RESULT] as string).length;
  wrapScripts(worker, (execute) => {
    const batch = new TurnBatch({ one: FINISH, many: COMPLETE_JOBS, argumentsOf, lengthOf }, execute);
    return (client, script, args) => (script === FINISH && isPlain(args) ? batch.add(client, args) : execute(client, script, args));
  });
}

/** Whether the arguments complete a job without further fields. */
function isPlain(args: ScriptArguments): boolean {
  return args[TARGET] === 'completed' && args[FIELDS] === undefined;
}

function argumentsOf(calls: readonly ScriptArguments[]): unknown[] {
  const [first] = calls as [ScriptArguments];
  const all = first.slice(0, FINISH_KEYS);
  all.push(first[PREFIX], first[RESULT_FIELD], first[TARGET]);
  for (const own of calls) all.push(own[ID], own[ENDED_AT], own[RESULT], own[FETCH_NEXT], own[OPTIONS]);
  return all;
}
