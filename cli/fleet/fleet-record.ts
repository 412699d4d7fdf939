import { join } from 'node:path';
import { Announcement } from '../../shared/embedded-redis/server-state.js';

/** A fleet that `taskfleet up` runs in a folder. */
export interface RunningFleet {
  readonly pid: number;
  /** Null until the dashboard listens, or without one. */
  readonly dashboard: string | null;
  readonly redis: string | null;
  /** Number of worker processes. */
  readonly workers: number | null;
}

type Facts = Omit<RunningFleet, 'pid'>;

/** Tells other fleets in a folder what this one runs, and finds theirs. The record of a dead process is void. */
export class FleetRecord {
  private constructor(private readonly announcement: Announcement) {}

  /** @param dir the folder of the embedded Redis, which exists */
  static async prepare(dir: string): Promise<FleetRecord> {
    return new FleetRecord(await Announcement.prepare(join(dir, 'fleet')));
  }

  async publish(facts: Facts): Promise<void> {
    await this.announcement.make(JSON.stringify(facts));
  }

  /** Returns the other fleets, sorted by pid. */
  async others(): Promise<RunningFleet[]> {
    const found = await this.announcement.others();
    return found.map(({ pid, content }) => ({ pid, ...factsOf(content) })).toSorted((a, b) => a.pid - b.pid);
  }

  async withdraw(): Promise<void> {
    await this.announcement.withdraw();
  }
}

/** Reads what another version may have written. */
function factsOf(content: string): Facts {
  try {
    const { dashboard, redis, workers } = JSON.parse(content) as Record<string, unknown>;
    const textOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);
    return { dashboard: textOf(dashboard), redis: textOf(redis), workers: typeof workers === 'number' ? workers : null };
  } catch {
    return { dashboard: null, redis: null, workers: null };
  }
}
