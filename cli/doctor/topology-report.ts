import type { Redis } from 'ioredis';
import type { Check } from './check.js';
import type { Info, Replica } from './redis-info.js';

export interface SentinelReport {
  readonly kind: 'sentinel';
  readonly service: string;
  /** Where the connection goes; null if there is none. */
  readonly master: string | null;
  /** How many sentinels must agree that the master is down; null if none answers. */
  readonly quorum: number | null;
  readonly sentinels: readonly SentinelAnswer[];
  readonly replicas: readonly Replica[];
}

export interface SentinelAnswer {
  readonly address: string;
  readonly answers: boolean;
  /** What it says instead of what it was asked for, or why it says nothing; null if all is well. */
  readonly error: string | null;
  /** Of the master, as this sentinel sees it. */
  readonly master: string | null;
  readonly quorum: number | null;
  /** All sentinels that this one knows of, with itself. */
  readonly known: number | null;
}

export interface ClusterReport {
  readonly kind: 'cluster';
  readonly state: string;
  readonly slotsCovered: number;
  /** Null where CONFIG is not allowed. */
  readonly requireFullCoverage: boolean | null;
  readonly masters: readonly { readonly address: string; readonly slots: number; readonly replicas: readonly string[] }[];
}

export interface StandaloneReport {
  readonly kind: 'standalone';
  readonly role: string;
  readonly replicas: readonly Replica[];
}

export type TopologyReport = StandaloneReport | SentinelReport | ClusterReport;

/** One redis-server that takes writes. */
export interface Server {
  readonly address: string;
  readonly redis: Redis;
  readonly info: Info;
}

export interface TopologyFindings {
  readonly report: TopologyReport;
  readonly checks: readonly Check[];
  /** False if no more can be asked: it is another kind of server than the settings say. */
  readonly usable: boolean;
}
