import { type WorkerRecord, readWorkers } from '../../shared/records/workers.js';
import type { RecordSource } from '../../shared/unreadable.js';

export interface Beats {
  readonly alive: readonly WorkerRecord[];
  /** Workers that fell silent within the last hour, without a farewell. */
  readonly silent: number;
}

/** The workers by their last heartbeats. One whose heartbeat cannot be read counts as neither: it is reported. */
export async function readBeats(source: RecordSource): Promise<Beats> {
  const workers = await readWorkers(source);
  const alive = workers.filter((worker) => worker.alive);
  return { alive, silent: workers.filter((worker) => !worker.alive && worker.problem === null).length };
}
