import type { MessagePort } from 'node:worker_threads';
import type { ErrorCode } from '../../../shared/errors.js';
import type { LogLevel } from '../../../shared/settings/log-levels.js';
import type { Settings } from '../../../shared/settings/settings.js';
import { type AbortCause, LockLost, ShuttingDown, StopRequested, TimedOut } from '../../../shared/stop/cause.js';
import type { AnyDefinition } from '../../../shared/task/definition.js';
import type { ChildOptions, ChildTask } from '../../../shared/task/handler.js';

/** Where a thread loads a handler from: a task module, and the name of a task in it. */
export interface HandlerSource {
  readonly moduleUrl: string;
  readonly name: string;
}

/** The input of a thread for one run. */
export interface ThreadRun extends HandlerSource {
  readonly settings: Settings;
  readonly id: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly input: unknown;
  readonly port: MessagePort;
}

/** From the main thread to the thread, while the handler runs. */
export type MainMessage =
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
  | { readonly type: 'progress'; readonly value: number | object }
  | { readonly type: 'emit'; readonly chunk: unknown }
  | {
      readonly type: 'enqueue';
      readonly call: number;
      readonly definition: PortableDefinition;
      readonly input: unknown;
      readonly options: ChildOptions;
    }
  | { readonly type: 'log'; readonly level: LogLevel; readonly fields: Readonly<Record<string, unknown>>; readonly message: string };

/** A definition without its schemas, which cannot be cloned; the thread has already validated the input. */
type PortableDefinition = Omit<AnyDefinition, 'input' | 'output'>;

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

/** How the handler ended. Errors are serialized, because a clone loses its class; the thread determines `final`. */
export type ThreadResult =
  | { readonly ok: true; readonly value: unknown }
  | {
      readonly ok: false;
      readonly error: { readonly name: string; readonly message: string; readonly stack: string | undefined; readonly final: boolean };
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
