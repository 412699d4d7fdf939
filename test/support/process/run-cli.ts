import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { PassThrough, Readable } from 'node:stream';
import type { Io, Output } from '../../../cli/io.js';
import { runCommand } from '../../../cli/program.js';
import type { HostProcess } from '../../../shared/process/process-life.js';
import type { CommandOptions, CommandResult } from './command.js';
import { type ExitStatus, ProgramOutput } from './program-output.js';

interface CliOptions extends CommandOptions {
  /** The content of standard input. Default: empty. */
  readonly stdin?: string;
  /** Whether output and input, `stdin` and the keys that `press` sends, are a terminal of 80 columns. Default: false. */
  readonly terminal?: boolean;
}

/** Returns the Io of a command that has nothing of this process but PATH and HOME. */
export function testIo({ env = {}, cwd = process.cwd(), stdin: typed, terminal = false }: CliOptions = {}): Io {
  const { PATH, HOME } = process.env;
  const output = (): Output => Object.assign(new PassThrough(), terminal ? { isTTY: true, columns: 80 } : {});
  const stderr = output();
  const stdin = terminal && typed === undefined ? keyboard() : Object.assign(Readable.from([typed ?? '']), { isTTY: terminal });
  const host = Object.assign(new EventEmitter(), {
    ...{ pid: process.pid, version: process.version, memoryUsage: process.memoryUsage, connected: false, send: undefined },
    exit: () => assert.fail('The command wanted to exit at once.'),
  }) as unknown as HostProcess;
  return {
    ...{ stdout: output(), stderr, stdin, env: { PATH, HOME, ...env }, cwd, script: null, host, exitCode: 0 },
    log: { pretty: terminal, destination: stderr },
  };
}

/** Returns the input of a terminal, on which nothing is typed until `press` is called. */
function keyboard(): Io['stdin'] {
  return Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
}

/** A `taskfleet <args>` that runs in this process. */
export class CliRun extends ProgramOutput {
  readonly exit: Promise<ExitStatus>;
  readonly #host: EventEmitter;

  constructor(
    args: readonly string[],
    private readonly io: Io,
  ) {
    super(`taskfleet ${args.join(' ')}`);
    this.#host = io.host as unknown as EventEmitter;
    this.collect(io.stdout as PassThrough, 'stdout');
    this.collect(io.stderr as PassThrough, 'stderr');
    this.exit = this.#run(args, io);
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#host.emit(signal, signal);
  }

  /** Presses keys of the terminal. */
  press(keys: string): void {
    (this.io.stdin as PassThrough).write(keys);
  }

  /** Sends SIGTERM and waits for the end. */
  stop(): Promise<ExitStatus> {
    this.kill();
    return this.exit;
  }

  async #run(args: readonly string[], io: Io): Promise<ExitStatus> {
    const code = await runCommand(args, io);
    io.stdout.end();
    io.stderr.end();
    return this.ended({ code, signal: null });
  }
}

/** Starts `taskfleet <args>` in this process. */
export function startCli(args: readonly string[], options: CliOptions = {}): CliRun {
  return new CliRun(args, testIo(options));
}

/** Runs `taskfleet <args>` to its end, in this process. */
export async function runCli(args: readonly string[], options: CliOptions = {}): Promise<CommandResult> {
  const run = startCli(args, options);
  const { code } = await run.exit;
  return { code, stdout: run.stdout.text, stderr: run.stderr.text };
}
