import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { forget, reapAtExit } from './reaper.js';

export interface SpawnNodeOptions {
  /**
   * The environment of the child, beside PATH, HOME, TMPDIR and NODE_V8_COVERAGE of this process. Nothing else is inherited, so that
   * no setting of the machine gets into a test.
   */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the working directory of this process. */
  readonly cwd?: string;
  /** Path of the Node to run. Default: this process's. */
  readonly node?: string;
}

export interface WaitForLineOptions {
  /** Default: 60,000. */
  readonly timeoutMs?: number;
  /** Default: both. */
  readonly stream?: 'stdout' | 'stderr';
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'NODE_V8_COVERAGE'] as const;
const LINE_TIMEOUT_MS = 60_000;
const STOP_TIMEOUT_MS = 15_000;
const SHOWN_LINES = 20;

/** The lines written to one stream of a process so far. */
export class OutputLines {
  readonly lines: string[] = [];

  /** All lines, joined. */
  get text(): string {
    return this.lines.join('\n');
  }
}

/**
 * Runs `node <args>` in a new process group: `spawnNode(['dist/cli/main.js', 'task', 'list'])`. Standard input is empty. When the
 * test process ends, even by SIGKILL, the whole group is killed.
 */
export function spawnNode(args: readonly string[], options: SpawnNodeOptions = {}): NodeProcess {
  const inherited = INHERITED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]] as const]));
  const child = spawn(options.node ?? process.execPath, args, {
    env: { ...Object.fromEntries(inherited), ...options.env },
    cwd: options.cwd ?? process.cwd(),
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return new NodeProcess(child, `node ${args.join(' ')}`);
}

/** A process under test. */
export class NodeProcess {
  readonly pid: number;
  readonly stdout = new OutputLines();
  readonly stderr = new OutputLines();
  /** Resolves when the process has ended and all its output has arrived. The rest of its group is killed then. */
  readonly exit: Promise<ExitStatus>;
  readonly #child: ChildProcess;
  readonly #events = new EventEmitter();
  readonly #command: string;
  #status: ExitStatus | null = null;

  constructor(child: ChildProcess, command: string) {
    if (child.pid === undefined) throw new Error(`${command} could not be started`);
    this.pid = child.pid;
    this.#child = child;
    this.#command = command;
    this.#events.setMaxListeners(0);
    reapAtExit(-child.pid);
    const output = [this.#collect(child.stdout, 'stdout'), this.#collect(child.stderr, 'stderr')];
    this.exit = this.#end(output);
  }

  /**
   * Resolves with the match of the first matching line, past or future.
   * @throws an error with the end of the output, if the process ends before or after `timeoutMs`
   */
  async waitForLine(pattern: RegExp, { timeoutMs = LINE_TIMEOUT_MS, stream }: WaitForLineOptions = {}): Promise<RegExpMatchArray> {
    const deadline = AbortSignal.timeout(timeoutMs);
    for (;;) {
      const match = this.#find(pattern, stream);
      if (match !== null) return match;
      if (this.#status !== null) throw this.#failure(`ended (${JSON.stringify(this.#status)}) without a line like ${pattern}`);
      if (deadline.aborted) throw this.#failure(`wrote no line like ${pattern} in ${timeoutMs} ms`);
      await once(this.#events, 'change', { signal: deadline }).catch(() => undefined);
    }
  }

  /** Sends a signal to the process alone, not to its children. Default: SIGTERM. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL to the whole group after 15 s. Resolves when the process has ended; may be called again. */
  async stop(): Promise<ExitStatus> {
    const timer = setTimeout(() => this.#killGroup(), STOP_TIMEOUT_MS);
    this.kill('SIGTERM');
    const status = await this.exit;
    clearTimeout(timer);
    return status;
  }

  async #collect(stream: Readable | null, name: 'stdout' | 'stderr'): Promise<void> {
    if (stream === null) return;
    for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
      this[name].lines.push(line);
      this.#events.emit('change');
    }
  }

  async #end(output: readonly Promise<void>[]): Promise<ExitStatus> {
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, NodeJS.Signals | null];
    // A child left behind would hold the output open and outlive the test.
    this.#killGroup();
    forget(-this.pid);
    await Promise.all(output);
    this.#status = { code, signal };
    this.#events.emit('change');
    return this.#status;
  }

  #killGroup(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  #find(pattern: RegExp, stream: 'stdout' | 'stderr' | undefined): RegExpMatchArray | null {
    const streams = stream === undefined ? [this.stdout, this.stderr] : [this[stream]];
    for (const line of streams.flatMap(({ lines }) => lines)) {
      const match = line.match(pattern);
      if (match !== null) return match;
    }
    return null;
  }

  #failure(what: string): Error {
    const ends = (['stdout', 'stderr'] as const).map((name) => [`--- ${name}`, ...this[name].lines.slice(-SHOWN_LINES)].join('\n'));
    return new Error(`${this.#command} ${what}\n${ends.join('\n')}`);
  }
}

/** Returns whether a process with this id exists, zombies included. */
export function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
