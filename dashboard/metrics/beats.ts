import { type WorkerRecord, readWorkers } from '../../shared/records/heartbeats.js';
import type { RecordSource } from '../../shared/records/unreadable.js';

export interface Beats {
  readonly alive: readonly WorkerRecord[];
  /** Workers lost within the last hour: their heartbeats stopped without a shutdown. */
  readonly silent: number;
}

/** Reads all workers by their last heartbeats. Unreadable heartbeats are reported and not counted. */
export async function readBeats(source: RecordSource): Promise<Beats> {
  const workers = await readWorkers(source);
  const alive = workers.filter((worker) => worker.alive);
  return { alive, silent: workers.filter((worker) => !worker.alive && worker.problem === null).length };
}
