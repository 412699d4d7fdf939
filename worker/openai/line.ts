/** Watches over the connection to a server for as long as one attempt needs it. */
export interface Line {
  /** Aborted with the task's own reason, or with an Error when nothing was heard for too long. */
  readonly signal: AbortSignal;
  /** Something arrived: the silence starts again. */
  readonly heard: () => void;
  /** From now on silence may last at most this long, in ms. */
  readonly limit: (ms: number) => void;
  /** Ends the watch. The connection itself ends with the loop over the response, however that is left. */
  close(): void;
}

export interface LineOptions {
  /** Of the task. */
  readonly signal: AbortSignal;
  /** Longest silence, in ms. */
  readonly timeoutMs: number;
  /** The message of the Error when that is over. */
  readonly late: string;
}

/** Starts to watch. */
export function openLine({ signal: task, timeoutMs, late }: LineOptions): Line {
  const controller = new AbortController();
  const hangUp = (): void => controller.abort(task.reason);
  if (task.aborted) hangUp();
  task.addEventListener('abort', hangUp, { once: true });
  const watch = (ms: number): NodeJS.Timeout => setTimeout(() => controller.abort(new Error(late)), ms);
  let silence = watch(timeoutMs);
  return {
    signal: controller.signal,
    heard: () => void silence.refresh(),
    limit(ms) {
      clearTimeout(silence);
      silence = watch(Math.min(ms, timeoutMs));
    },
    close() {
      clearTimeout(silence);
      task.removeEventListener('abort', hangUp);
    },
  };
}
