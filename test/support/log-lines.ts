import { EventEmitter, once } from 'node:events';
import { type LoggerFactory, createLoggerFactory } from '../../shared/logger.js';
import type { LogLevel } from '../../shared/settings/log-levels.js';
import { resolveSettings } from '../../shared/settings/settings.js';

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string; readonly level: number };

/** What is logged through `loggers`, as objects. */
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
  async nextLine(): Promise<void> {
    await once(this.#events, 'line');
  }

  /** The first line whose message matches, be it written already or yet to come. */
  async waitFor(pattern: RegExp): Promise<LogLine> {
    for (;;) {
      const [line] = this.find(pattern);
      if (line) return line;
      await this.nextLine();
    }
  }
}
