import type { Redis } from 'ioredis';
import type { Check } from './check.js';

/** The fields of INFO or a similar reply, by name. */
export type Info = ReadonlyMap<string, string>;

/** A replica, as its master reports it. */
export interface Replica {
  readonly address: string;
  /** `online` when it is in sync with its master. */
  readonly link: string;
  readonly lagBytes: number;
}

export function parseInfo(text: string): Info {
  const fields = new Map<string, string>();
  for (const line of text.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1));
  }
  return fields;
}

/** Parses the alternating names and values of a sentinel's reply or of CONFIG GET. */
export function parsePairs(words: readonly string[]): Info {
  return new Map(Array.from({ length: words.length >> 1 }, (_, index) => [words[2 * index] as string, words[2 * index + 1] as string]));
}

export function replicasOf(info: Info): Replica[] {
  const written = Number(info.get('master_repl_offset') ?? 0);
  return [...info].flatMap(([name, value]) => {
    if (!/^slave\d+$/.test(name)) return [];
    const {
      ip = '',
      port = '',
      state = 'unknown',
      offset = '0',
    } = Object.fromEntries(value.split(',').map((field) => field.split('=') as [string, string]));
    return [{ address: `${ip}:${port}`, link: state, lagBytes: Math.max(0, written - Number(offset)) }];
  });
}

export function describeReplicas(replicas: readonly Replica[]): string {
  if (replicas.length === 0) return 'no replica';
  const each = replicas.map(({ address, link, lagBytes }) => `${address} ${link === 'online' ? `${lagBytes} bytes behind` : link}`);
  return `${replicas.length} replica${replicas.length === 1 ? '' : 's'}: ${each.join(', ')}`;
}

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

interface StandaloneReport {
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

/** Converts a topology report to JSON with snake_case names. */
export function topologyToJson(report: TopologyReport): Record<string, unknown> {
  switch (report.kind) {
    case 'standalone':
      return { kind: report.kind, role: report.role, replicas: report.replicas.map(replicaToJson) };
    case 'sentinel':
      return { ...report, replicas: report.replicas.map(replicaToJson) };
    case 'cluster': {
      const { kind, state, slotsCovered, requireFullCoverage, masters } = report;
      return { kind, state, slots_covered: slotsCovered, require_full_coverage: requireFullCoverage, masters };
    }
  }
}

function replicaToJson({
  lagBytes,
  ...replica
}: {
  readonly address: string;
  readonly link: string;
  readonly lagBytes: number;
}): Record<string, unknown> {
  return { ...replica, lag_bytes: lagBytes };
}
