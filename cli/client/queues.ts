import type { Queue } from '../../dashboard/api/routes/queues.js';
import type { QueueView } from '../../producer/index.js';
import type { QueueClient } from './client.js';
import { dateOf } from './follow.js';
import type { ApiConnection } from './http-connection.js';

/** Pauses and resumes queues over the HTTP API. */
export function queuesOverApi(connection: ApiConnection): QueueClient {
  const pathOf = (name: string, action: string): string => `/queues/${encodeURIComponent(name)}/${action}`;
  return {
    list: () => connection.ask('/queues', ({ queues }: { queues: Queue[] }) => queues.map(queueOf)),
    pause: (name, { reason }) => connection.ask(pathOf(name, 'pause'), queueOf, { method: 'POST', body: { reason } }),
    resume: (name) => connection.ask(pathOf(name, 'resume'), queueOf, { method: 'POST', body: {} }),
  };
}

/** Converts the API's JSON of a queue. Throws if it has another shape. */
function queueOf(json: Queue): QueueView {
  const { name, shards, paused, concurrency, limits, workers, slots, problem } = json;
  const { in_line: inLine, ...counts } = json.counts;
  return {
    ...{ name, shards, builtIn: json.built_in, concurrency, limits, workers, slots, problem },
    paused: paused && { ...paused, at: dateOf(paused.at) },
    counts: { ...counts, inLine },
    ...{
      oldestWaitMs: json.oldest_wait_ms,
      oldestWaitTask: json.oldest_wait_task,
      inPerMinute: json.in_per_minute,
      outPerMinute: json.out_per_minute,
    },
  };
}
