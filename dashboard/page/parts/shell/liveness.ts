/** Silence after which a page is stale, in ms. */
export const SILENT_MS = 10_000;

/** The state of the connection to the server and, behind it, Redis. `since` and `problem` are null unless it is stale. */
export interface Link {
  readonly state: 'connecting' | 'live' | 'lost' | 'stale';
  /** When the oldest data on the page was current, in ms. */
  readonly since: number | null;
  readonly problem: string | null;
}

/** One way in which a page hears from the server: a poll or an event stream. */
interface Source {
  /** How long it may be silent. Infinity for an open event stream. */
  limitMs: number;
  heardAt: number | null;
  /** Since when nothing was heard, in ms; null while it is heard. */
  lostAt: number | null;
  /** The server answers, but cannot reach Redis. */
  away: boolean;
  problem: string | null;
}

/** Decides whether a page is live, from all the ways in which it hears from the server. */
export class Liveness {
  readonly #sources = new Map<string, Source>();
  /** Silence counts from here: the start, or the end of the last time that the page was hidden. */
  #from: number;

  constructor(now: number) {
    this.#from = now;
  }

  /** Notes that a source was heard; it may now be silent for `limitMs`. */
  heard(name: string, now: number, limitMs: number = SILENT_MS): void {
    this.#sources.set(name, { limitMs, heardAt: now, lostAt: null, away: false, problem: null });
  }

  /** Notes a failure. `away`: the server answered that it cannot reach Redis, which needs no wait. */
  failed(name: string, now: number, { away, problem }: { readonly away: boolean; readonly problem: string }): void {
    const source = this.#sources.get(name) ?? { limitMs: SILENT_MS, heardAt: null, lostAt: null, away, problem };
    const wasOpen = source.limitMs === Infinity;
    const heardAt = wasOpen && source.lostAt === null ? now : source.heardAt;
    // A poll that is answered every 15 s, say, is not stale at its first failure.
    const limitMs = wasOpen ? SILENT_MS : source.limitMs;
    this.#sources.set(name, { limitMs, heardAt, lostAt: source.lostAt ?? now, away, problem });
  }

  /** Notes a source from which nothing has been heard yet. */
  connecting(name: string): void {
    if (!this.#sources.has(name)) this.#sources.set(name, { limitMs: SILENT_MS, heardAt: null, lostAt: null, away: false, problem: null });
  }

  /** Forgets a source that has said everything, such as the event stream of a finished task. */
  forget(name: string): void {
    this.#sources.delete(name);
  }

  /** Starts to count silence anew: a hidden page asks for nothing. */
  wake(now: number): void {
    this.#from = now;
  }

  link(now: number): Link {
    const sources = [...this.#sources.values()];
    const stale = sources.filter((source) => source.away || now - Math.max(source.heardAt ?? 0, this.#from) > source.limitMs);
    if (stale.length > 0) {
      const since = Math.min(...stale.map(({ heardAt }) => heardAt ?? this.#from));
      return { state: 'stale', since, problem: stale.find(({ problem }) => problem !== null)?.problem ?? null };
    }
    const state = sources.some(({ lostAt }) => lostAt !== null)
      ? 'lost'
      : sources.length === 0 || sources.some(({ heardAt }) => heardAt === null)
        ? 'connecting'
        : 'live';
    return { state, since: null, problem: null };
  }
}
