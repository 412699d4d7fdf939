import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

/** The `taskfleet` command, compiled or not. */
const COMMAND = join(import.meta.dirname, '..', `main${extname(import.meta.filename)}`);
/** The folder of installed packages: enough text for a batch. */
export const DOCUMENT_ROOT = dirname(dirname(fileURLToPath(import.meta.resolve('express'))));
/** The rest of the environment stays out: the demo is the same on every machine. */
const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'http_proxy', 'https_proxy', 'no_proxy'];
const HINT = /Ctrl\+C|^ {2}taskfleet/;
const SETTINGS = {
  // Not the default ports: those are for `taskfleet up`.
  EMBEDDED_REDIS_PORT: '6398',
  API_PORT: '8430',
  DOCUMENT_ROOT,
  // Per queue and worker: six canaries of a report run, the others wait.
  WORKER_CONCURRENCY: '3',
  STOP_GRACE_MS: '1000',
  // Short, so that the tasks of a killed worker go on soon.
  LOCK_DURATION_MS: '5000',
  STALLED_CHECK_INTERVAL_MS: '500',
  SHUTDOWN_TIMEOUT_MS: '1000',
  GLOBAL_LOG_LEVEL: 'error',
  WORKER_LOG_LEVEL: 'warn',
};

export interface FleetUrls {
  readonly redisUrl: string;
  readonly dashboardUrl: string;
}

/** `taskfleet up` in a folder of its own: an embedded Redis, two workers and a dashboard. */
export class Fleet {
  /** Resolves when all processes are ready. Rejects if the command ends before. */
  readonly ready: Promise<FleetUrls>;
  readonly #child: ChildProcess;
  readonly #exit: Promise<unknown>;

  /** @param say gets the lines that the fleet prints */
  constructor(folder: string, openAiUrl: string, say: (line: string) => void) {
    const inherited = Object.fromEntries(INHERITED.map((name) => [name, process.env[name]]));
    this.#child = spawn(process.execPath, [...process.execArgv, COMMAND, 'up', '--workers', '2'], {
      cwd: folder,
      env: { ...inherited, ...SETTINGS, OPENAI_API_BASE_URLS: openAiUrl },
      stdio: ['ignore', 'ignore', 'pipe'],
      // A process group of its own: Ctrl+C reaches the demo alone, which then stops the fleet.
      detached: true,
    });
    this.#exit = once(this.#child, 'exit');
    const ended = this.#exit.then(() => Promise.reject(new Error('taskfleet up ended before it was ready')));
    this.ready = Promise.race([this.#read(say), ended]);
    this.ready.catch(() => undefined);
  }

  /** Lets running tasks end for a second, then ends all processes. A second call ends them at once. */
  async stop(): Promise<void> {
    this.#child.kill('SIGTERM');
    await this.#exit;
  }

  #read(say: (line: string) => void): Promise<FleetUrls> {
    return new Promise((resolve) => {
      let redisUrl = '';
      createInterface({ input: this.#child.stderr as Readable }).on('line', (line) => {
        // The demo has hints of its own.
        if (!HINT.test(line)) say(textOf(line));
        redisUrl ||= /redis:\/\/\S+/.exec(line)?.[0] ?? '';
        const dashboardUrl = /http:\/\/\S+/.exec(line)?.[0];
        if (redisUrl && dashboardUrl) resolve({ redisUrl, dashboardUrl });
      });
    });
  }
}

/** Returns the message of a JSON log line with the id of its task; any other line as it is. */
function textOf(line: string): string {
  if (!line.startsWith('{')) return line;
  const { msg, id } = JSON.parse(line) as { msg: string; id?: string };
  return id === undefined ? msg : `${id}: ${msg}`;
}
