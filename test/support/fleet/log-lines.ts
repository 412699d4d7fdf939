import { EventEmitter, once } from 'node:events';
import { type LoggerFactory, createLoggerFactory } from '../../../shared/log/logger.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import { resolveSettings } from '../../../shared/settings/settings.js';

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: number };

const LIMIT_MS = 60_000;
const SHOWN_LINES = 20;

/** Collects the log lines written through `loggers`, as objects. */
export class LogLines {
  readonly lines: LogLine[] = [];
  readonly loggers: LoggerFactory;
  readonly #events = new EventEmitter();

  constructor(logLevel: LogLevel = 'debug') {
    const write = (line: string): void => {
      this.lines.push(JSON.parse(line) as LogLine);
      this.#events.emit('line');
    };
    this.loggers = createLoggerFactory({ settings: resolveSettings({ logLevel }), destination: { write } });
  }

  find(pattern: RegExp): LogLine[] {
    return this.lines.filter(({ msg }) => pattern.test(msg));
  }

  /** Resolves with the next line. */
  async nextLine(signal?: AbortSignal): Promise<void> {
    await once(this.#events, 'line', { signal });
  }

  /**
   * Resolves with the first line whose message matches, written already or later.
   * @throws an error with the last lines after 60 s
   */
  async waitFor(pattern: RegExp): Promise<LogLine> {
    const deadline = AbortSignal.timeout(LIMIT_MS);
    for (;;) {
      const [line] = this.find(pattern);
      if (line) return line;
      if (deadline.aborted) throw new Error(`No line like ${pattern} within ${LIMIT_MS / 1_000} s; the last lines are\n${this.#end()}`);
      await this.nextLine(deadline).catch(() => undefined);
    }
  }

  #end(): string {
    return this.lines
      .slice(-SHOWN_LINES)
      .map((line) => JSON.stringify(line))
      .join('\n');
  }
}
