import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, FleetError, messageOf } from '../../shared/errors.js';
import type { ChildMessage } from '../../shared/process/process-life.js';
import type { Environment } from '../../shared/settings/settings.js';
import { formatMs } from '../../shared/time.js';
import { EXIT } from '../errors.js';

/** `inherit` uses the parent's streams; a function receives each line with the name of its process. */
export type ProcessOutput = 'inherit' | ((name: string, line: string) => void);

interface SupervisedProcessOptions {
  /** Display name: `Worker 1`. */
  readonly name: string;
  /** The subcommand to run; it must accept `--supervised`. */
  readonly command: 'worker' | 'dashboard';
  /** What the process does once it is ready, for the notice after a restart: `takes tasks`. */
  readonly does: string;
  readonly env: Environment;
  readonly cwd: string;
  readonly output: ProcessOutput;
  /** Interval in ms (HEARTBEAT_INTERVAL_MS): after three of them without a beat, the process is killed and restarted. */
  readonly beatMs: number;
  /** Receives notices for the user. */
  readonly say: (line: string) => void;
}

/** The command's entry point, with the same extension as this file: compiled, or (in tests) source. */
const COMMAND = join(import.meta.dirname, '..', `main${extname(import.meta.filename)}`);
const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** After this uptime, the restart delay resets. */
const STABLE_MS = 60_000;
const BEATS_MISSED = 3;

/**
 * One process of a fleet, `taskfleet worker` or `taskfleet dashboard`. Restarts it when it ends unexpectedly, with a backoff from
 * 0.5 s, doubling up to 30 s, unless its very first start fails for a reason that a restart cannot fix (bad settings, a bad task
 * module). Kills it when its event loop hangs, so that its tasks run elsewhere.
 */
export class SupervisedProcess {
  readonly #options: SupervisedProcessOptions;
  readonly #ready: Promise<void>;
  #resolveReady: () => void = () => undefined;
  #rejectReady: (error: Error) => void = () => undefined;
  #wasReady = false;
  #child: ChildProcess | null = null;
  #id: string | null = null;
  #startedAt = 0;
  #delayMs = FIRST_RESTART_MS;
  #restart: NodeJS.Timeout | null = null;
  #watch: NodeJS.Timeout | null = null;
  /** Beats missed. Counted rather than timed, so that a suspended machine misses none. */
  #missed = 0;
  #stopping = false;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Not every caller awaits `ready`.
    this.#ready.catch(() => undefined);
  }

  /** Null while a restart is pending. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** The worker's id or the dashboard's URL; null until the process is ready. */
  get id(): string | null {
    return this.#id;
  }

  /** Resolves when the process exists. */
  async start(): Promise<void> {
    await once(this.#launch(), 'spawn');
  }

  /**
   * Resolves when the process is ready for the first time.
   * @throws FleetError with the code of the error that prevents it from running; `CLOSED` if it was stopped before it was ready
   */
  ready(): Promise<void> {
    return this.#ready;
  }

  /** Sends SIGTERM, and SIGKILL after `timeoutMs`. Resolves when the process is gone. Idempotent. */
  async stop(timeoutMs: number): Promise<void> {
    this.#leave();
    const child = this.#child;
    if (child === null) return;
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.say(`${this.#name(child)} did not exit within ${formatMs(timeoutMs)}; killing it.`);
      child.kill('SIGKILL');
    }, timeoutMs);
    await exit;
    clearTimeout(timer);
  }

  /** Sends SIGKILL. Resolves when the process is gone. */
  async kill(): Promise<void> {
    this.#leave();
    const child = this.#child;
    if (child === null) return;
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
  }

  #leave(): void {
    this.#stopping = true;
    if (this.#restart !== null) clearTimeout(this.#restart);
    this.#unwatch();
    this.#rejectReady(new FleetError('CLOSED', `${this.#options.name} was stopped before it was ready.`));
  }

  #launch(): ChildProcess {
    const { command, env, cwd, output } = this.#options;
    const stream = output === 'inherit' ? 'inherit' : 'pipe';
    const child = fork(COMMAND, [command, '--supervised'], { env: { ...env }, cwd, stdio: ['ignore', stream, stream, 'ipc'] });
    this.#child = child;
    this.#startedAt = performance.now();
    if (output !== 'inherit') for (const lines of [child.stdout, child.stderr]) this.#read(lines, output);
    child.on('message', (message) => this.#hear(message as ChildMessage));
    child.once('exit', (code, signal) => this.#ended(child, signal ?? `exit code ${code}`, code));
    // Without a pid, the spawn failed and no exit will follow; with one, a signal or message did not reach a process that is gone.
    child.on('error', (error) => child.pid === undefined && this.#ended(child, messageOf(error), null));
    return child;
  }

  #read(stream: Readable | null, output: (name: string, line: string) => void): void {
    if (stream !== null) createInterface({ input: stream, crlfDelay: Infinity }).on('line', (line) => output(this.#options.name, line));
  }

  #hear(message: ChildMessage): void {
    this.#missed = 0;
    switch (message.type) {
      case 'alive':
        this.#watch ??= this.#stopping ? null : setInterval(() => this.#miss(), this.#options.beatMs);
        break;
      case 'ready':
        this.#id = message.id;
        if (this.#wasReady) this.#options.say(`${this.#options.name} ${this.#options.does} again: pid ${this.pid}.`);
        this.#wasReady = true;
        this.#resolveReady();
        break;
      case 'failed':
        if (!this.#wasReady) this.#rejectReady(errorOf(message));
        else this.#options.say(`${this.#options.name} cannot start: ${message.message}`);
        break;
      default:
        message satisfies never;
    }
  }

  #miss(): void {
    this.#missed += 1;
    const child = this.#child;
    if (this.#missed < BEATS_MISSED || child === null) return;
    this.#unwatch();
    this.#options.say(`${this.#name(child)} has not responded for ${formatMs(BEATS_MISSED * this.#options.beatMs)}; killing it.`);
    child.kill('SIGKILL');
  }

  #unwatch(): void {
    if (this.#watch !== null) clearInterval(this.#watch);
    this.#watch = null;
  }

  #ended(child: ChildProcess, how: string, code: number | null): void {
    this.#child = null;
    this.#id = null;
    this.#unwatch();
    if (this.#stopping) return;
    if (code === EXIT.CONFIG && !this.#wasReady) {
      this.#rejectReady(new FleetError('INVALID_SETTINGS', `${this.#name(child)} cannot run with these settings.`));
      return;
    }
    if (performance.now() - this.#startedAt >= STABLE_MS) this.#delayMs = FIRST_RESTART_MS;
    const delayMs = this.#delayMs;
    this.#delayMs = Math.min(2 * delayMs, LONGEST_RESTART_MS);
    this.#options.say(`${this.#name(child)} ended unexpectedly (${how}); restarting it in ${formatMs(delayMs)}.`);
    this.#restart = setTimeout(() => this.#launch(), delayMs);
  }

  #name(child: ChildProcess): string {
    return `${this.#options.name} (pid ${child.pid ?? 'none'})`;
  }
}

function errorOf({ code, message }: { readonly code: string | null; readonly message: string }): Error {
  const known = code !== null && Object.hasOwn(ERROR_CODES, code);
  return known ? new FleetError(code as ErrorCode, message) : new Error(message);
}
