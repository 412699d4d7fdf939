import { isWrite } from '../auth/audit.js';
import type { Role } from '../auth/principal.js';
import { addJob } from './actions/add.js';
import { cleanQueue, emptyQueue } from './actions/clean.js';
import { changeDelay, updateData } from './actions/edit.js';
import { obliterate } from './actions/obliterate.js';
import { pauseAll, pauseQueue } from './actions/pause.js';
import { promoteAll, promoteJob } from './actions/promote.js';
import { removeJob } from './actions/remove.js';
import { retryAll, retryJob } from './actions/retry.js';
import { removeScheduler, runScheduler } from './actions/schedulers.js';
import type { BoardAnswer, BoardCall } from './board-call.js';

/** What holds for a route of Bull Board. */
export interface Rule {
  /** The least that a caller must be. */
  readonly role: Role;
  /** For the audit. */
  readonly action: string;
  /** Does it the fleet's way; null: Bull Board does it. */
  readonly handle: ((call: BoardCall) => Promise<BoardAnswer>) | null;
  /** Why nobody may; null for what is allowed. */
  readonly refusal: string | null;
}

const ANY_READ: Rule = { role: 'viewer', action: 'board.read', handle: null, refusal: null };
const UNKNOWN: Rule = { ...ANY_READ, action: 'board.unknown', refusal: 'This board does not know what that does to the fleet.' };

const QUEUE = '/api/queues/:queueName';
const JOB = `${QUEUE}/:jobId`;

/** The writes, by method and route. What is not here is refused: another version of Bull Board may bring more of them. */
export const WRITES: ReadonlyMap<string, Rule> = new Map([
  write('put', '/api/queues/pause', 'operator', 'pause-all', pauseAll),
  write('put', '/api/queues/resume', 'operator', 'resume-all', null),
  write('put', `${QUEUE}/pause`, 'operator', 'pause', pauseQueue),
  write('put', `${QUEUE}/resume`, 'operator', 'resume', null),
  write('put', `${QUEUE}/retry/:queueStatus`, 'operator', 'retry-all', retryAll),
  write('put', `${QUEUE}/promote`, 'operator', 'promote-all', promoteAll),
  write('put', `${QUEUE}/clean/:queueStatus`, 'operator', 'clean', cleanQueue),
  write('put', `${QUEUE}/empty`, 'operator', 'empty', emptyQueue),
  write('put', `${JOB}/retry`, 'operator', 'retry', retryJob),
  write('put', `${JOB}/promote`, 'operator', 'promote', promoteJob),
  write('put', `${JOB}/clean`, 'operator', 'remove', removeJob),
  write('post', `${QUEUE}/add`, 'operator', 'add', addJob),
  write('put', `${QUEUE}/job-schedulers/:schedulerId/run`, 'operator', 'schedule.run', runScheduler),
  write('put', `${QUEUE}/job-schedulers/:schedulerId/remove`, 'operator', 'schedule.remove', removeScheduler),
  write('put', `${QUEUE}/obliterate`, 'admin', 'obliterate', obliterate),
  write('put', `${QUEUE}/concurrency`, 'admin', 'concurrency', null),
  write('put', `${QUEUE}/rate-limit`, 'admin', 'rate-limit', null),
  write('put', `${QUEUE}/rate-limit/release`, 'admin', 'rate-limit.release', null),
  write('patch', `${JOB}/update-data`, 'admin', 'update-data', updateData),
  write('patch', `${JOB}/delay`, 'admin', 'delay', changeDelay),
  write('patch', `${JOB}/priority`, 'admin', 'priority', null),
  refused(
    'patch',
    `${QUEUE}/job-schedulers/:schedulerId`,
    'schedule.update',
    'The fleet would not know of it. Change a schedule where it is made, with producer.schedules.upsert.',
  ),
  refused(
    'put',
    `${JOB}/remove-unprocessed-children`,
    'remove-children',
    'Stop the task: what its handler has enqueued is stopped with it.',
  ),
]);

/** The rule of a route, by its method and pattern as Bull Board has them. */
export function ruleOf(method: string, route: string): Rule {
  if (!isWrite(method.toUpperCase())) return ANY_READ;
  return WRITES.get(`${method} ${route}`) ?? UNKNOWN;
}

function write(method: string, route: string, role: Role, action: string, handle: Rule['handle']): [string, Rule] {
  return [`${method} ${route}`, { role, action: `board.${action}`, handle, refusal: null }];
}

function refused(method: string, route: string, action: string, refusal: string): [string, Rule] {
  return [`${method} ${route}`, { role: 'operator', action: `board.${action}`, handle: null, refusal }];
}
