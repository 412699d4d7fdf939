import type { MessagePort } from 'node:worker_threads';
import type { LogLevel, Settings } from '../shared/settings.js';

/** Where a thread finds a handler: a task module, and the name of a task in it. */
export interface HandlerSource {
  readonly moduleUrl: string;
  readonly name: string;
}

/** What a thread gets for one run. */
export interface ThreadRun extends HandlerSource {
  readonly settings: Settings;
  readonly id: string;
  readonly item: string | null;
  readonly attempt: number;
  readonly input: unknown;
  readonly port: MessagePort;
}

/** Main thread → thread. An abort cause crosses as its parts. */
export interface AbortMessage {
  readonly kind: 'stop' | 'timeout' | 'shutdown' | 'lock-lost';
  readonly reason: string | null;
  readonly by: string | null;
  readonly timeoutMs: number;
}

/** Thread → main thread, while the handler runs. */
export type ThreadMessage =
  /** First: until then the run waited for a free thread, and for its module to be loaded there. */
  | { readonly type: 'started' }
  | { readonly type: 'progress'; readonly value: number | object }
  | { readonly type: 'emit'; readonly chunk: unknown }
  | { readonly type: 'log'; readonly level: LogLevel; readonly fields: Readonly<Record<string, unknown>>; readonly message: string };

/** How the handler ended. Errors cross as their parts, for a copy of an Error loses its class. */
export type ThreadResult =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly error: { readonly name: string; readonly message: string; readonly stack: string | undefined } };
