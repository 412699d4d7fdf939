import type { Logger } from '../../../shared/log/logger.js';
import { formatLogLine, isKept } from '../../../shared/log/task-log.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { Store } from '../../../shared/store.js';
import type { FleetJob } from '../../fetch/fleet-job.js';
import type { Run } from '../run.js';
import { failureLine } from './failure-log.js';
import { LogBacklog, LogWriter } from './log-writer.js';
import { childOf, split } from './split-logger.js';

interface TaskLoggersOptions {
  readonly store: Pick<Store, 'redis' | 'keys' | 'clock'>;
  /** The logger of the component `task`. */
  readonly taskLogger: Logger;
  /** Lowest level of lines that are kept with their task. */
  readonly kept: LogLevel;
  readonly logger: Logger;
}

/** Makes the loggers behind `context.log`, whose lines go to the given logger and, from a level on, to the log of their task. */
export class TaskLoggers {
  readonly #backlog = new LogBacklog();
  #base: Logger | null = null;
  /** The level of the given logger when the base was made. */
  #level: string | null = null;

  constructor(private readonly options: TaskLoggersOptions) {}

  of(run: Run, attempt: number): Logger {
    const { id, name } = run;
    return childOf(this.#current(), {
      id,
      name,
      attempt,
      trace: run.span?.fields,
      writer: () => (run.ended ? null : (run.log ??= this.#writerOf(run, attempt))),
    });
  }

  /** Adds the failure of an attempt to the log of its task, ahead of the job's settlement: readers stop at the task's end. */
  failed(run: Run, job: FleetJob): void {
    const line = failureLine(job);
    const { kept, store } = this.options;
    if (line === null || !isKept(line.level, kept)) return;
    const writer = this.#writerOf(run, job.attempt);
    writer.add(formatLogLine({ at: new Date(store.clock.now()), attempt: job.attempt, ...line }));
    writer.close();
  }

  #writerOf(run: Run, attempt: number): LogWriter {
    const { redis, keys, clock } = this.options.store;
    return new LogWriter({
      ...{ redis, clock, attempt, job: keys.jobs(run.queue) + run.id, backlog: this.#backlog },
      onError: (error, lines) =>
        this.options.logger.warn({ id: run.id, lines, error }, 'Could not store log lines of a task; dropping them'),
    });
  }

  #current(): Logger {
    const { taskLogger, kept, store, logger } = this.options;
    if (this.#base !== null && this.#level === taskLogger.level) return this.#base;
    const base = kept === 'silent' ? taskLogger : split(taskLogger, kept, store.clock);
    if (base === null) logger.warn('The logger of the component task is not from pino; tasks keep no log');
    this.#level = taskLogger.level;
    this.#base = base ?? taskLogger;
    return this.#base;
  }
}
