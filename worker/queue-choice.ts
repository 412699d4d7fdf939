import { FleetError } from '../shared/errors.js';
import type { Logger } from '../shared/log/logger.js';
import { matchesNames } from '../shared/settings/name-patterns.js';
import type { LoadedHandler } from './task-modules.js';

/**
 * Returns the handlers of the queues that WORKER_QUEUES names. Warns of a pattern that names none.
 * @throws FleetError `INVALID_SETTINGS` if no queue is left
 */
export function handlersOfQueues(
  handlers: ReadonlyMap<string, LoadedHandler>,
  patterns: readonly string[],
  logger: Logger,
): ReadonlyMap<string, LoadedHandler> {
  const queues = [...new Set([...handlers.values()].map(({ definition }) => definition.queue))];
  const taken = queues.filter((queue) => matchesNames(patterns, queue));
  if (taken.length === 0)
    throw new FleetError(
      'INVALID_SETTINGS',
      `Bad settings:\n  WORKER_QUEUES: expected patterns that leave at least one of this worker's queues (${queues.join(', ')}), ` +
        `got ${JSON.stringify(patterns.join(','))}`,
      { details: { queues, patterns } },
    );
  const idle = patterns.filter((pattern) => !queues.some((queue) => matchesNames([pattern.replace(/^!/, '')], queue)));
  if (idle.length > 0) logger.warn({ patterns: idle, queues }, 'WORKER_QUEUES has patterns that match no queue of this worker');
  return new Map([...handlers].filter(([, { definition }]) => taken.includes(definition.queue)));
}
