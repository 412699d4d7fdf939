import { type TaskDefinition, defineTask } from 'taskfleet';
import { z } from 'zod';

/** The Redis of a fleet, for producers and workers. */
export interface FleetConfig {
  readonly redisUrl: string;
  readonly keyPrefix: string;
  readonly cluster: boolean;
}

export interface WorkerOrder {
  readonly what: 'start';
  readonly config: FleetConfig;
  readonly shards: number;
  /** How long a task waits. */
  readonly taskMs: number;
  readonly concurrency: number;
}

/** A request to a worker process, which answers each with a report. */
export type Order = WorkerOrder | { readonly what: 'stop' | 'report' };

/** The tasks run since the worker started, and the CPU time of the process. */
export interface Report {
  readonly ran: number;
  readonly cpuUs: number;
}

/** A queue whose three shards are on three masters of a cluster with equal slot ranges. */
export const QUEUE = 'scale';

export function loadOf(shards: number): TaskDefinition<{ n: number }> {
  return defineTask({ name: 'bench.scale', queue: QUEUE, shards, input: z.object({ n: z.number() }) });
}
