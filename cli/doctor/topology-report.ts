import type { Redis } from 'ioredis';
import type { Check } from './check.js';
import type { Info, Replica } from './redis-info.js';

export interface SentinelReport {
  readonly kind: 'sentinel';
  readonly service: string;
  /** Address of the connected master; null if there is no connection. */
  readonly master: string | null;
  /** How many sentinels must agree that the master is down; null if none answers. */
  readonly quorum: number | null;
  readonly sentinels: readonly SentinelAnswer[];
  readonly replicas: readonly Replica[];
}

export interface SentinelAnswer {
  readonly address: string;
  readonly answers: boolean;
  /** The sentinel's error reply, or why it does not answer; null if neither. */
  readonly error: string | null;
  /** Address of the master, as this sentinel sees it. */
  readonly master: string | null;
  readonly quorum: number | null;
  /** Number of sentinels that this one knows, including itself. */
  readonly known: number | null;
}

export interface ClusterReport {
  readonly kind: 'cluster';
  readonly state: string;
  readonly slotsCovered: number;
  /** Null if CONFIG is not allowed. */
  readonly requireFullCoverage: boolean | null;
  readonly masters: readonly { readonly address: string; readonly slots: number; readonly replicas: readonly string[] }[];
}

export interface StandaloneReport {
  readonly kind: 'standalone';
  readonly role: string;
  readonly replicas: readonly Replica[];
}

export type TopologyReport = StandaloneReport | SentinelReport | ClusterReport;

/** A writable redis-server. */
export interface Server {
  readonly address: string;
  readonly redis: Redis;
  readonly info: Info;
}

export interface TopologyFindings {
  readonly report: TopologyReport;
  readonly checks: readonly Check[];
  /** False if no more checks are possible, because the server is of another kind than the settings say. */
  readonly usable: boolean;
}
