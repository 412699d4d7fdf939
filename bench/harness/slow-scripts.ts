import type { Redis } from 'ioredis';
import type { ScriptedRedis } from '../../shared/scripts/define-scripts.js';

/** The slowest script of a phase: wall-clock time in Redis, so that a busy machine slows some down. */
export interface SlowestScript {
  readonly name: string;
  readonly ms: number;
  /** Of the scripts in the slow log. */
  readonly medianMs: number;
  /** The slowest single command in the slow log: it shows how much of the time was another process's turn on the core. */
  readonly commandMs: number;
  /** Scripts that took longer than {@link LONG_MS}. */
  readonly long: number;
}

/** Longer than any script should block Redis. */
export const LONG_MS = 5;
/** The slow log has commands from this time on. */
const FROM_US = 200;

/** Reads the slow log, with the names of our scripts. */
export class SlowScripts {
  private constructor(
    private readonly redis: Redis,
    private readonly scripted: Pick<ScriptedRedis, 'scriptsSet'>,
  ) {}

  static async open(redis: Redis, scripted: Pick<ScriptedRedis, 'scriptsSet'> = { scriptsSet: {} }): Promise<SlowScripts> {
    await redis.config('SET', 'slowlog-log-slower-than', String(FROM_US), 'slowlog-max-len', '100000');
    return new SlowScripts(redis, scripted);
  }

  /** Returns the slowest script since the last call. */
  async slowest(): Promise<SlowestScript> {
    const log = (await this.redis.slowlog('GET', -1)) as [id: number, at: number, us: number, words: string[]][];
    await this.redis.slowlog('RESET');
    const sorted = log.toSorted(([, , a], [, , b]) => b - a);
    const isScript = ([, , , [command = '']]: (typeof log)[number]): boolean => command.toLowerCase().startsWith('eval');
    const scripts = sorted.filter(isScript);
    const [, , us = FROM_US, words = []] = scripts[0] ?? [];
    const msOf = (entry: (typeof log)[number] | undefined): number => (entry?.[2] ?? FROM_US) / 1_000;
    return {
      name: scripts.length === 0 ? 'none' : this.#nameOf(words),
      ms: us / 1_000,
      medianMs: msOf(scripts[Math.floor(scripts.length / 2)]),
      commandMs: msOf(sorted.find((entry) => !isScript(entry))),
      long: scripts.filter(([, , took]) => took > LONG_MS * 1_000).length,
    };
  }

  #nameOf([command = '', sha = '']: readonly string[]): string {
    // The slow log has only the start of a script's text, which several share.
    if (command.toLowerCase() === 'eval') return 'the first call of a script';
    const scripts: [name: string, script: { readonly sha: string }][] = Object.entries(this.scripted.scriptsSet);
    return scripts.find(([, script]) => script.sha === sha)?.[0] ?? sha;
  }

  async close(): Promise<void> {
    await this.redis.config('SET', 'slowlog-log-slower-than', '10000', 'slowlog-max-len', '128');
  }
}
