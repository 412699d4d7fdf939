/**
 * Keeps one core busy, without a turn of the event loop, for `ms`. Writes the time to the file about once per ms: the last one says when
 * the core was free again, also if a thread or a process was terminated.
 */
export function spin(file: string, ms: number): void;
