import type { MessagePort } from 'node:worker_threads';
import type { Failure } from '../../../shared/attempt/failure.js';
import type { AskedRetry } from '../../../shared/attempt/retry-after.js';
import type { ErrorCode } from '../../../shared/errors.js';
import type { LimitStep } from '../../../shared/limiter/marks.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { Settings } from '../../../shared/settings/settings.js';
import { type AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../../../shared/stop/cause.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { ChildOptions, ChildTask } from '../../../shared/task/handler.js';
import type { Carrier } from '../../../shared/tracing/carrier.js';
import type { ThreadTrace } from '../../../shared/tracing/telemetry.js';

/** The entry module of threads, for packageFile. */
export const THREAD_MAIN = 'worker/run/threads/thread-main';

/** Where a thread loads a handler from: a task module, and the name of a task in it. */
export interface HandlerSource {
  readonly moduleUrl: string;
  readonly name: string;
}

/** The handler of a run, and the stored input, which the thread parses. */
export interface ThreadTask extends HandlerSource {
  readonly data: unknown;
  /** The span of the attempt; absent without telemetry. */
  readonly trace?: ThreadTrace | undefined;
}

/** The input of a thread for one run. */
export interface ThreadRun extends ThreadTask {
  readonly settings: Settings;
  readonly id: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly port: MessagePort;
  /** Lowest level of lines that the main thread uses, and the memory of the `LogFlow`. */
  readonly log: { readonly level: string; readonly shared: SharedArrayBuffer };
}

/** From the main thread to the thread, while the handler runs. */
export type MainMessage =
  /** The thread answers `pong` as soon as its event loop turns. */
  | { readonly type: 'ping' }
  | { readonly type: 'abort'; readonly cause: CauseParts }
  | ({ readonly type: 'enqueued'; readonly call: number } & EnqueueResult);

/** A serialized abort cause. */
interface CauseParts {
  readonly kind: 'stop' | 'timeout' | 'shutdown' | 'lock-lost';
  readonly reason: string | null;
  readonly by: string | null;
  readonly timeoutMs: number;
}

/** From the thread to the main thread, while the handler runs. */
export type ThreadMessage =
  /** Sent first: until then the run waited for a free thread, or for its module to load there. */
  | { readonly type: 'started' }
  | { readonly type: 'pong' }
  | { readonly type: 'progress'; readonly value: number | object }
  | { readonly type: 'emit'; readonly chunk: unknown }
  | { readonly type: 'spend'; readonly cost: number }
  | {
      readonly type: 'enqueue';
      readonly call: number;
      readonly definition: PortableDefinition;
      /** The limits of the task, computed in the thread; null for none. */
      readonly limits: readonly LimitStep[] | null;
      readonly input: unknown;
      readonly options: ChildOptions;
      /** The context of the call, if the attempt is traced. */
      readonly carrier?: Carrier | undefined;
    }
  | {
      readonly type: 'log';
      readonly level: LogLevel;
      readonly fields: Readonly<Record<string, unknown>>;
      readonly message: string;
      /** Characters of the line. */
      readonly size: number;
    };

/** A definition without its schemas and functions, which cannot be cloned; the thread has already validated the input. */
type PortableDefinition = Omit<AnyDefinition, 'input' | 'output' | 'chunk' | 'concurrency' | 'rate' | 'fair' | 'dedupe' | 'tags'>;

export type EnqueueResult =
  | { readonly ok: true; readonly task: ChildTask }
  | {
      readonly ok: false;
      readonly error: {
        readonly code: ErrorCode | null;
        readonly message: string;
        readonly details: Readonly<Record<string, unknown>>;
        readonly cause: CauseParts | null;
      };
    };

/** How the handler ended. Errors are serialized, because a clone loses name, code and class; the thread determines `final`. */
export type ThreadResult =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly failure: Failure;
      /** Whether the error is not retried. */
      readonly final: boolean;
      readonly asked: AskedRetry | null;
    };

/** Serializes an abort cause for a thread: a structured clone of an Error loses its class. */
export function partsOf(cause: AbortCause): CauseParts {
  return {
    kind: cause.kind,
    reason: cause instanceof StopRequested ? cause.reason : null,
    by: cause instanceof StopRequested ? cause.by : null,
    timeoutMs: cause instanceof TimedOut ? cause.timeoutMs : 0,
  };
}

export function causeOf({ kind, reason, by, timeoutMs }: CauseParts): AbortCause {
  switch (kind) {
    case 'stop':
      return new StopRequested(reason, by);
    case 'timeout':
      return new TimedOut(timeoutMs);
    case 'shutdown':
      return new ShuttingDown();
    case 'lock-lost':
      return new LockLost();
  }
}
