import type { TopologyReport } from './topology-report.js';

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
