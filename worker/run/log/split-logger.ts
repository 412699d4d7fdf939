import type { Logger } from '../../../shared/log/logger.js';
import { formatLogLine, levelOfNumber } from '../../../shared/log/task-log.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { TraceFields } from '../../../shared/tracing/telemetry.js';
import type { LogWriter } from './log-writer.js';

/** The run whose handler logs. */
export interface LoggedRun {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  /** The ids of the attempt's span; undefined without one. */
  readonly trace?: TraceFields | undefined;
  /** Returns the writer of the task's log, created on first use; null once the run has ended. */
  readonly writer: () => Pick<LogWriter, 'add'> | null;
}

/** A destination of pino, which may want to know the line's level and logger before each write. */
interface Destination {
  write(line: string): void;
  flush?(done?: (error?: Error) => void): void;
  readonly [METADATA]?: boolean;
  lastLevel?: number;
  lastObj?: unknown;
  lastMsg?: string;
  lastTime?: string;
  lastLogger?: Logger;
}

const METADATA = Symbol.for('pino.metadata');
/** The run of a logger, and of the loggers derived from it. */
const RUN = Symbol('taskfleet.run');

type RunLogger = Logger & { [RUN]?: LoggedRun };

/**
 * Returns a child of a pino logger. The lines of its own children made by {@link childOf} also go to the log of their task. A line is
 * serialized once, with the logger's own serializers and redaction; each of the two destinations has its own lowest level. Null if the
 * logger does not write like pino.
 */
export function split(logger: Logger, kept: LogLevel, clock: { now(): number }): Logger | null {
  const at = symbolOf(logger, 'pino.stream');
  if (at === null) return null;
  const child = logger.child({}) as Logger & { [symbol: symbol]: unknown };
  const keptFrom = logger.levels.values[kept] ?? Infinity;
  if (keptFrom < logger.levelVal) child.level = kept;
  const messageKey = symbolOf(logger, 'pino.messageKey');
  child[at] = new SplitDestination({
    outer: child[at] as Destination,
    logger,
    effective: child.levelVal,
    keptFrom,
    messageKey: messageKey === null ? 'msg' : String(child[messageKey]),
    clock,
  });
  return child;
}

/** Makes the logger of a run. */
export function childOf(logger: Logger, run: LoggedRun): Logger {
  const child: RunLogger = logger.child({ task: run.id, name: run.name, attempt: run.attempt, ...run.trace });
  child[RUN] = run;
  return child;
}

/** Finds pino's own symbol on a logger, which may come from another copy of pino than ours. */
function symbolOf(logger: object, description: string): symbol | null {
  for (let at: object | null = logger; at !== null; at = Object.getPrototypeOf(at) as object | null) {
    const found = Object.getOwnPropertySymbols(at).find((symbol) => symbol.description === description);
    if (found) return found;
  }
  return null;
}

interface SplitOptions {
  readonly outer: Destination;
  readonly logger: Logger;
  /** The level of a logger whose handler has not changed it. */
  readonly effective: number;
  readonly keptFrom: number;
  readonly messageKey: string;
  readonly clock: { now(): number };
}

/** Writes lines to the logger's destination, and to the log of their task. */
class SplitDestination implements Destination {
  readonly [METADATA] = true;
  lastLevel = 0;
  lastObj: unknown;
  lastMsg = '';
  lastTime = '';
  declare lastLogger: RunLogger;

  constructor(private readonly options: SplitOptions) {}

  write(line: string): void {
    const { outer, logger, effective, keptFrom } = this.options;
    const { lastLevel: level, lastLogger } = this;
    const run = lastLogger[RUN];
    if (run && level >= keptFrom) this.#keep(run, level, line);
    // A handler may have set the level of its logger.
    const from = lastLogger.levelVal === effective ? logger.levelVal : lastLogger.levelVal;
    if (level < from) return;
    if (outer[METADATA]) {
      const { lastLevel, lastObj, lastMsg, lastTime } = this;
      Object.assign(outer, { lastLevel, lastObj, lastMsg, lastTime, lastLogger });
    }
    outer.write(line);
  }

  flush(done?: (error?: Error) => void): void {
    const { outer } = this.options;
    if (outer.flush) outer.flush(done);
    else done?.();
  }

  #keep(run: LoggedRun, level: number, line: string): void {
    const writer = run.writer();
    if (writer === null) return;
    const { clock, messageKey } = this.options;
    const { message, fields } = partsOf(line, messageKey, run);
    writer.add(formatLogLine({ at: new Date(clock.now()), level: levelOfNumber(level), attempt: run.attempt, message, fields }));
  }
}

/** Fields of every line of a pino logger. */
const HEAD: ReadonlySet<string> = new Set(['level', 'time', 'pid', 'hostname']);

function partsOf(line: string, messageKey: string, run: LoggedRun): { message: string; fields: Record<string, unknown> } {
  const all = parsed(line);
  if (all === null) return { message: line.trimEnd(), fields: {} };
  const fields: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(all))
    if (key !== messageKey && !HEAD.has(key) && !isOfRun(run, key, value)) fields[key] = value;
  const message = all[messageKey];
  return { message: typeof message === 'string' ? message : '', fields };
}

/** Returns whether a field says which run logged the line; a handler may log other values in fields of the same names. */
function isOfRun({ id, name, attempt, trace }: LoggedRun, key: string, value: unknown): boolean {
  switch (key) {
    case 'component':
      return value === 'task';
    case 'task':
      return value === id;
    case 'name':
      return value === name;
    case 'attempt':
      return value === attempt;
    case 'trace_id':
    case 'span_id':
    case 'trace_flags':
      return value === trace?.[key];
    default:
      return false;
  }
}

function parsed(line: string): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : null;
  } catch {
    return null;
  }
}
