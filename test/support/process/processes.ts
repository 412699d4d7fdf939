import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type ExitStatus, ProgramOutput } from './program-output.js';
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

const INHERITED = ['PATH', 'HOME', 'TMPDIR', 'NODE_V8_COVERAGE'] as const;
const STOP_TIMEOUT_MS = 60_000;

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
export class NodeProcess extends ProgramOutput {
  readonly pid: number;
  /** Resolves when the process has ended and all its output has arrived. The rest of its group is killed then. */
  readonly exit: Promise<ExitStatus>;
  readonly #child: ChildProcess;

  constructor(child: ChildProcess, words: string) {
    super(words);
    if (child.pid === undefined) throw new Error(`${words} could not be started`);
    this.pid = child.pid;
    this.#child = child;
    reapAtExit(-child.pid);
    if (child.stdout) this.collect(child.stdout, 'stdout');
    if (child.stderr) this.collect(child.stderr, 'stderr');
    this.exit = this.#end();
  }

  /** Sends a signal to the process alone, not to its children. Default: SIGTERM. */
  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#child.kill(signal);
  }

  /** SIGTERM, and SIGKILL to the whole group after a minute. Resolves when the process has ended; may be called again. */
  async stop(): Promise<ExitStatus> {
    const timer = setTimeout(() => this.#killGroup(), STOP_TIMEOUT_MS);
    this.kill('SIGTERM');
    const status = await this.exit;
    clearTimeout(timer);
    return status;
  }

  async #end(): Promise<ExitStatus> {
    const [code, signal] = (await once(this.#child, 'exit')) as [number | null, NodeJS.Signals | null];
    // A child left behind would hold the output open and outlive the test.
    this.#killGroup();
    forget(-this.pid);
    return this.ended({ code, signal });
  }

  #killGroup(): void {
    try {
      process.kill(-this.pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
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
