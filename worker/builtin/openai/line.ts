/** Watches the connection to a server during one attempt. */
export interface Line {
  /** Aborted with the task's own reason, or with an Error after too long a silence. */
  readonly signal: AbortSignal;
  /** Notes received data: the silence starts again. */
  readonly heard: () => void;
  /** Sets the longest silence from now on, in ms. */
  readonly limit: (ms: number) => void;
  /** Stops watching. The connection itself closes when the loop over the response is left. */
  close(): void;
}

export interface LineOptions {
  /** The task's signal. */
  readonly signal: AbortSignal;
  /** Longest silence, in ms. */
  readonly timeoutMs: number;
  /** The message of the Error after too long a silence. */
  readonly late: string;
}

/** Starts watching. */
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
