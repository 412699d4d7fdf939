/** An auto-reset event for one waiter at a time. */
export class Notice {
  #raised = false;
  #wake: (() => void) | null = null;

  raise(): void {
    this.#raised = true;
    this.#wake?.();
  }

  /** Resolves with true when raised, or if raised since the last wait; false after `timeoutMs`. Rejects with the signal's reason. */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        this.#wake = null;
        settle();
      };
      const raised = (): void => {
        this.#raised = false;
        finish(() => resolve(true));
      };
      const onAbort = (): void => finish(() => reject(signal?.reason as Error));
      const timer = setTimeout(() => finish(() => resolve(false)), timeoutMs);
      this.#wake = raised;
      signal?.addEventListener('abort', onAbort, { once: true });
      if (signal?.aborted) onAbort();
      else if (this.#raised) raised();
    });
  }
}
