import { metricOf } from './metrics.js';
import type { Sample } from './statistics.js';

/** Returns every measured value, one a line. */
export function csvOf(samples: readonly Sample[], versions: ReadonlyMap<string, string>): string {
  const lines = samples.map(({ peer, metric, round, value }) =>
    [peer, versions.get(peer) ?? '', metric, metricOf(metric).unit, String(round), String(Number(value.toPrecision(6)))]
      .map(quoted)
      .join(','),
  );
  return `${['peer,version,metric,unit,round,value', ...lines].join('\n')}\n`;
}

function quoted(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
