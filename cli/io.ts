import type { Readable, Writable } from 'node:stream';
import type { LoggerOptions } from '../shared/logger.js';
import type { HostProcess } from '../shared/process-life.js';
import type { Environment } from '../shared/settings/settings.js';

/** An output stream, which may be a terminal. */
export type Output = Writable & { readonly isTTY?: boolean; readonly columns?: number };

/** Everything that a command shares with the rest of the machine's processes. main.ts makes that of this process. */
export interface Io {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdin: Readable & { readonly isTTY?: boolean };
  readonly env: Environment;
  /** The folder of relative paths and of the embedded Redis. */
  readonly cwd: string;
  /** How and where log lines are written. */
  readonly log: Pick<LoggerOptions, 'pretty' | 'destination'>;
  /** Receives signals, talks to a parent process and can exit at once. */
  readonly host: HostProcess;
  /** The exit code so far. */
  exitCode: number;
}
