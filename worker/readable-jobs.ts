import type { RedisQueueBackend } from 'bullmq';
import { jsonProblem } from '../shared/json-problem.js';

/** Why a job fails that BullMQ cannot make a job of: the beginning of its deferred failure. */
const UNREADABLE = 'The job cannot be read: ';
/** What BullMQ parses of a job that it has fetched, before its worker sees anything of it. */
const PARSED = ['opts', 'progress', 'parent'] as const;
/** Scripts that hand out the next job. */
const HAND_OUT: ReadonlySet<string> = new Set(['moveToActive', 'moveToFinished', 'moveToDelayed']);

/** What BullMQ keeps to its backend. `test/worker/readable-jobs.test.ts` holds it to its version. */
interface Internals {
  execCommand(client: unknown, command: string, args: unknown): Promise<unknown>;
}

/**
 * Makes what a worker fetches readable: BullMQ throws over one of these fields that is no JSON, and the job would stay active
 * without an owner, again after every stalled check. Such a job is handed out with a blank field and with a deferred failure, so
 * that it fails with the reason and its handler is not called. An id that was listed without a job is not kept.
 *
 * `report` is told of each.
 */
export function makeJobsReadable(backend: RedisQueueBackend, report: (id: string, problem: string) => void): void {
  const internals = backend as unknown as Internals;
  const execute = internals.execCommand.bind(backend);
  internals.execCommand = async (client, command, args) => {
    const reply = await execute(client, command, args);
    if (!HAND_OUT.has(command) || !Array.isArray(reply) || !Array.isArray(reply[0])) return reply;
    const [fields, id, ...rest] = reply as [string[], string, ...unknown[]];
    const problem = makeReadable(fields);
    if (problem !== null) report(id, problem);
    return [fields, id, ...rest];
  };
}

/** Whether a job is to fail because it could not be read. */
export function isUnreadable(deferredFailure: string | undefined): boolean {
  return deferredFailure?.startsWith(UNREADABLE) ?? false;
}

/** Changes fields and values of a job's hash; returns what is wrong with them, null for nothing. */
function makeReadable(fields: string[]): string | null {
  const places = new Map<string, number>();
  for (let index = 0; index + 1 < fields.length; index += 2) places.set(fields[index] as string, index + 1);
  if (!places.has('timestamp') && !places.has('name')) return fail(fields, places, 'it is listed, and has no job', '{"removeOnFail":true}');
  for (const name of PARSED) {
    const place = places.get(name);
    const problem = place === undefined ? null : problemOf(name, fields[place] as string);
    if (problem !== null) return fail(fields, places, `${name}: ${problem}`, name === 'opts' ? '{}' : null);
  }
  return null;
}

/** Options and a parent are objects to BullMQ; a stop that was recorded before is what the job fails with. */
function fail(fields: string[], places: ReadonlyMap<string, number>, problem: string, options: string | null): string {
  const set = (name: string, value: string): void => {
    const place = places.get(name);
    if (place === undefined) fields.push(name, value);
    else fields[place] = value;
  };
  if (options !== null) set('opts', options);
  for (const name of ['progress', 'parent'] as const)
    if (places.has(name) && problemOf(name, fields[places.get(name) as number] as string) !== null) set(name, '');
  if (!places.has('defa')) set('defa', UNREADABLE + problem);
  return problem;
}

function problemOf(name: (typeof PARSED)[number], text: string): string | null {
  try {
    const value: unknown = JSON.parse(text || '{}');
    return name === 'progress' || (typeof value === 'object' && value !== null && !Array.isArray(value)) ? null : 'expected a JSON object';
  } catch (error) {
    return `not JSON: ${jsonProblem(error)}`;
  }
}
