import { FleetError } from '../../shared/errors.js';
import type { Role } from '../auth/principal.js';
import { changeDelay, pauseAll, pauseQueue, promoteAll, promoteJob, removeJob, resumeQueues, retryAll, retryJob } from './actions.js';
import type { BoardAnswer, BoardCall } from './board-call.js';

/** Who may use a write of Bull Board, and what the fleet does for it. */
export interface Rule {
  /** The lowest role that may. */
  readonly role: Role;
  /** For the audit. */
  readonly action: string;
  readonly run: (call: BoardCall) => Promise<BoardAnswer>;
}

/** A page of the dashboard, below its root. */
type PageOf = (call: BoardCall) => string;

const QUEUE = '/api/queues/:queueName';
const JOB = `${QUEUE}/:jobId`;
const ENDED = ['completed', 'failed'];

const API_PAGE: PageOf = () => 'docs';
const SCHEDULES_PAGE: PageOf = () => 'schedules';
const TASKS_PAGE: PageOf = () => '';
const TASK_PAGE: PageOf = ({ request }) => `tasks/${encodeURIComponent(String(request.params['jobId']))}`;

const byBullBoard: Rule['run'] = (call) => call.proceed();
const stopInstead = refuse('Stop queued and running tasks on the Tasks page, which shows a receipt for each', TASKS_PAGE);
const cleanEnded: Rule['run'] = (call) => (ENDED.includes(String(call.request.params['queueStatus'])) ? call.proceed() : stopInstead(call));

/** The writes, by method and pattern. A write that is not here is refused: a newer Bull Board may bring more of them. */
export const WRITES: ReadonlyMap<string, Rule> = new Map([
  write('put', '/api/queues/pause', 'operator', 'pause-all', pauseAll),
  write('put', '/api/queues/resume', 'operator', 'resume-all', resumeQueues),
  write('put', `${QUEUE}/pause`, 'operator', 'pause', pauseQueue),
  write('put', `${QUEUE}/resume`, 'operator', 'resume', resumeQueues),
  write('put', `${QUEUE}/retry/:queueStatus`, 'operator', 'retry-all', retryAll),
  write('put', `${QUEUE}/promote`, 'operator', 'promote-all', promoteAll),
  write('put', `${QUEUE}/clean/:queueStatus`, 'operator', 'clean', cleanEnded),
  write('put', `${JOB}/retry`, 'operator', 'retry', retryJob),
  write('put', `${JOB}/promote`, 'operator', 'promote', promoteJob),
  write('put', `${JOB}/clean`, 'operator', 'remove', removeJob),
  write('put', `${QUEUE}/concurrency`, 'admin', 'concurrency', byBullBoard),
  write('put', `${QUEUE}/rate-limit`, 'admin', 'rate-limit', byBullBoard),
  write('put', `${QUEUE}/rate-limit/release`, 'admin', 'rate-limit.release', byBullBoard),
  write('patch', `${JOB}/delay`, 'admin', 'delay', changeDelay),
  write('patch', `${JOB}/priority`, 'admin', 'priority', byBullBoard),
  write('post', `${QUEUE}/add`, 'operator', 'add', refuse('Enqueue tasks over the API, which checks their input', API_PAGE)),
  write('put', `${QUEUE}/empty`, 'operator', 'empty', stopInstead),
  write('put', `${QUEUE}/obliterate`, 'admin', 'obliterate', stopInstead),
  write(
    'patch',
    `${JOB}/update-data`,
    'admin',
    'update-data',
    refuse('A task keeps its input; stop the task and enqueue another', TASK_PAGE),
  ),
  write(
    'put',
    `${JOB}/remove-unprocessed-children`,
    'operator',
    'remove-children',
    refuse('Stop the task, which also stops the tasks that its handler enqueued', TASK_PAGE),
  ),
  write(
    'put',
    `${QUEUE}/job-schedulers/:schedulerId/run`,
    'operator',
    'schedule.run',
    refuse('Run the schedule on the Schedules page', SCHEDULES_PAGE),
  ),
  write(
    'put',
    `${QUEUE}/job-schedulers/:schedulerId/remove`,
    'operator',
    'schedule.remove',
    refuse('Remove the schedule with `taskfleet schedule remove` or over the API', API_PAGE),
  ),
  write(
    'patch',
    `${QUEUE}/job-schedulers/:schedulerId`,
    'operator',
    'schedule.update',
    refuse('Change the schedule where it is made, with producer.schedules.upsert', SCHEDULES_PAGE),
  ),
]);

const UNKNOWN: Rule = {
  role: 'operator',
  action: 'board.unknown',
  run: refuse('The dashboard has no rule for this write of Bull Board; use its own pages', TASKS_PAGE),
};

/** Returns the rule for a write of Bull Board, by the method of the request and the pattern of the route. */
export function ruleOf(method: string, pattern: string): Rule {
  return WRITES.get(`${method.toLowerCase()} ${pattern}`) ?? UNKNOWN;
}

function write(method: string, pattern: string, role: Role, action: string, run: Rule['run']): [string, Rule] {
  return [`${method} ${pattern}`, { role, action: `board.${action}`, run }];
}

/** Refuses with one sentence and the page that does it better. */
function refuse(sentence: string, page: PageOf): Rule['run'] {
  return async (call) => {
    throw new FleetError('FORBIDDEN', `${sentence}: ${call.root}/${page(call)}`);
  };
}
