import type { Worker } from '../../dashboard/api/routes/fleet/workers.js';
import type { WorkerView } from '../../producer/index.js';
import type { WorkerClient } from './client.js';
import type { ApiConnection } from './http-connection.js';

/** Returns the operations on workers over the HTTP API, where `by` is the token's name. */
export function workersOverApi(connection: ApiConnection): WorkerClient {
  const path = (id: string, act: string): string => `/workers/${encodeURIComponent(id)}/${act}`;
  return {
    list: () => connection.ask('/workers', ({ workers }: { workers: Worker[] }) => workers.map(workerOf)),
    drain: (id, { reason }) => connection.ask(path(id, 'drain'), workerOf, { method: 'POST', body: { reason } }),
    resume: (id) => connection.ask(path(id, 'resume'), workerOf, { method: 'POST', body: {} }),
  };
}

/** Converts the API's JSON of a worker into a WorkerView. Throws if the JSON has another shape. */
function workerOf(json: Worker): WorkerView {
  const { id, alive, host, pid, queues, maintenance, slots, running, zombies, draining, fetching, drained, subscribed, threads } = json;
  const { version, node, definitions, broken, problem } = json;
  if (typeof id !== 'string') throw new TypeError('expected an id');
  return {
    ...{ id, alive, host, pid, queues, maintenance, slots, running, zombies, draining, fetching, subscribed, threads },
    drained: drained && { ...drained, at: dateOf(drained.at) },
    stops: { count: json.stops, p50Ms: json.stop_p50_ms, p99Ms: json.stop_p99_ms, maxMs: json.stop_max_ms },
    ...{
      memoryBytes: json.memory_bytes,
      heapBytes: json.heap_bytes,
      heapLimitBytes: json.heap_limit_bytes,
      loopDelayMs: json.loop_delay_ms,
    },
    ...{ version, node, definitions, definitionsDiffer: json.definitions_differ, broken, logError: json.log_error, clockMs: json.clock_ms },
    ...{ startedAt: dateOf(json.started_at), beatAt: dateOf(json.beat_at), lastWords: json.last_words, problem },
  };
}

function dateOf(text: string | null): Date | null {
  return text === null ? null : new Date(text);
}
