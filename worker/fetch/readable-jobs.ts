import type { Worker } from 'bullmq';
import { jsonProblem } from '../../shared/arguments.js';
import { inspectFetchedJobs } from './bullmq-overrides.js';
import { JobHistory } from './job-history.js';

/** Start of the deferred failure of a job that BullMQ cannot parse. */
const UNREADABLE = 'The job cannot be read: ';
/** Fields that BullMQ parses before its worker sees the job. */
const PARSED = ['opts', 'progress', 'parent'] as const;

/**
 * Makes fetched jobs parseable. BullMQ throws if one of these fields is not JSON, and the job would stay active without an owner, again
 * after every stalled check. Instead, such a job gets a blank field and a deferred failure: it fails with the reason, and its handler is
 * not called. A listed id without a job is dropped.
 *
 * @param onUnreadable called for each such job
 * @param onHistory called for each job with fields of ours, which BullMQ does not parse
 */
export function makeJobsReadable(
  worker: Worker,
  {
    onUnreadable,
    onHistory,
  }: { onUnreadable: (id: string, problem: string) => void; onHistory: (id: string, history: JobHistory) => void },
): void {
  inspectFetchedJobs(worker, (fields, id) => {
    const problem = makeReadable(fields);
    if (problem !== null) onUnreadable(id, problem);
    const history = JobHistory.of(fields);
    if (history !== null) onHistory(id, history);
  });
}

/** Returns whether BullMQ can parse the fields and values of a job's hash, as of almost all jobs. */
function isReadable(fields: readonly string[]): boolean {
  let exists = false;
  for (let index = 0; index + 1 < fields.length; index += 2) {
    const name = fields[index] as string;
    if (name === 'timestamp' || name === 'name') exists = true;
    else if (name === 'opts' || name === 'progress' || name === 'parent') {
      if (problemOf(name, fields[index + 1] as string) !== null) return false;
    }
  }
  return exists;
}

/** Repairs the fields and values of a job's hash in place. Returns the problem, or null if there was none. */
function makeReadable(fields: string[]): string | null {
  if (isReadable(fields)) return null;
  const places = new Map<string, number>();
  for (let index = 0; index + 1 < fields.length; index += 2) places.set(fields[index] as string, index + 1);
  if (!places.has('timestamp') && !places.has('name')) return fail(fields, places, 'it is listed, but has no job', '{"removeOnFail":true}');
  for (const name of PARSED) {
    const place = places.get(name);
    const problem = place === undefined ? null : problemOf(name, fields[place] as string);
    if (problem !== null) return fail(fields, places, `${name}: ${problem}`, name === 'opts' ? '{}' : null);
  }
  return null;
}

/** Blanks the fields that cannot be parsed and adds a deferred failure, unless a recorded stop has already set one. */
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
