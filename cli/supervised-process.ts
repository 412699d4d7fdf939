import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ERROR_CODES, type ErrorCode, FleetError, messageOf } from '../shared/errors.js';
import { formatMs } from '../shared/duration.js';
import type { Environment } from '../shared/settings.js';
import { EXIT } from './exit-codes.js';
import type { ChildMessage } from './parent.js';

/** `inherit`: the parent's own streams; or a function that gets each line of each process, with its name. */
export type ProcessOutput = 'inherit' | ((name: string, line: string) => void);

export interface SupervisedProcessOptions {
  /** For people: `Worker 1`. */
  readonly name: string;
  /** The command that it runs, which knows `--supervised`. */
  readonly command: 'worker' | 'dashboard';
  /** What it does again once it is back, in words: `takes tasks`. */
  readonly does: string;
  readonly env: Environment;
  readonly output: ProcessOutput;
  /** After three of these intervals without a sign of life it is killed and started again, in ms: HEARTBEAT_INTERVAL_MS. */
  readonly beatMs: number;
  /** Gets the lines that a person should see. */
  readonly say: (line: string) => void;
}

/** The command itself, compiled or (in tests) not: this file's neighbour with the same ending. */
const COMMAND = join(import.meta.dirname, `main${extname(import.meta.filename)}`);
const FIRST_RESTART_MS = 500;
const LONGEST_RESTART_MS = 30_000;
/** One that lived for this long starts again with the first delay. */
const STABLE_MS = 60_000;
const BEATS_MISSED = 3;

/**
 * One process of a fleet, `taskfleet worker` or `taskfleet dashboard`. When it ends and nobody asked it to, it is started
 * again, after 0.5 s at first and twice as long each further time, up to 30 s. Only one that says at its very first start that
 * it cannot run (bad settings, a bad task module) is left alone: starting it again would not help. One whose event loop hangs
 * is killed, for its tasks to run elsewhere.
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
  /** Beats since its last sign of life. Counted, not timed: after a suspension of the machine nothing has been missed. */
  #missed = 0;
  #stopping = false;

  constructor(options: SupervisedProcessOptions) {
    this.#options = options;
    this.#ready = new Promise((resolve, reject) => {
      this.#resolveReady = resolve;
      this.#rejectReady = reject;
    });
    // Not everybody waits for it.
    this.#ready.catch(() => undefined);
  }

  /** Null while it waits for its next start. */
  get pid(): number | null {
    return this.#child?.pid ?? null;
  }

  /** What it said when it was ready: a worker's id in the fleet, a dashboard's URL. Null before. */
  get id(): string | null {
    return this.#id;
  }

  /** Resolves when the process exists. */
  async start(): Promise<void> {
    await once(this.#launch(), 'spawn');
  }

  /**
   * Resolves when it said for the first time that it is ready.
   * @throws FleetError with the code of whatever keeps it from running; `CLOSED` if it was stopped before it was ready
   */
  ready(): Promise<void> {
    return this.#ready;
  }

  /** SIGTERM, and SIGKILL after `timeoutMs`. Resolves when the process is gone. May be called again. */
  async stop(timeoutMs: number): Promise<void> {
    this.#leave();
    const child = this.#child;
    if (child === null) return;
    const exit = once(child, 'exit');
    child.kill('SIGTERM');
    const timer = setTimeout(() => {
      this.#options.say(`${this.#name(child)} did not end within ${formatMs(timeoutMs)}: killing it.`);
      child.kill('SIGKILL');
    }, timeoutMs);
    await exit;
    clearTimeout(timer);
  }

  /** SIGKILL. Resolves when the process is gone. */
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
    const { command, env, output } = this.#options;
    const stream = output === 'inherit' ? 'inherit' : 'pipe';
    const child = fork(COMMAND, [command, '--supervised'], { env: { ...env }, stdio: ['ignore', stream, stream, 'ipc'] });
    this.#child = child;
    this.#startedAt = performance.now();
    if (output !== 'inherit') for (const lines of [child.stdout, child.stderr]) this.#read(lines, output);
    child.on('message', (message) => this.#hear(message as ChildMessage));
    child.once('exit', (code, signal) => this.#ended(child, signal ?? `exit code ${code}`, code));
    // Without a pid there will be no exit; with one, it is the failure of a signal or message to a process that is gone.
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
    this.#options.say(`${this.#name(child)} has not answered for ${formatMs(BEATS_MISSED * this.#options.beatMs)}: killing it.`);
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
    this.#options.say(`${this.#name(child)} ended unexpectedly (${how}); starting it again in ${formatMs(delayMs)}.`);
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
