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
