import type { Readable, Writable } from 'node:stream';
import type { LoggerOptions } from '../shared/log/logger.js';
import type { HostProcess } from '../shared/process/process-life.js';
import type { Environment } from '../shared/settings/settings.js';

/** An output stream, which may be a terminal. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number; readonly rows?: number };

/** Everything that a command shares with the rest of the machine's processes. main.ts makes that of this process. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  /** A terminal can pass on single keys. */
  readonly stdin: Readable & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown };
  readonly env: Environment;
  /** The folder of relative paths and of the embedded Redis. */
  readonly cwd: string;
  /** The path of the program that runs, as it was called; null if unknown. */
  readonly script: string | null;
  /** How and where log lines are written. */
  readonly log: Pick<LoggerOptions, 'pretty' | 'destination'>;
  /** Receives signals, talks to a parent process and can exit at once. */
  readonly host: HostProcess;
  /** The exit code so far. */
  exitCode: number;
}
