import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

export interface WaitForLineOptions {
  /** Default: 120,000. */
  readonly timeoutMs?: number;
  /** Default: both. */
  readonly stream?: 'stdout' | 'stderr';
}

export interface ExitStatus {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

const LINE_TIMEOUT_MS = 120_000;
const SHOWN_LINES = 20;

/** The lines that a program has written to one of its streams so far. */
class OutputLines {
  readonly lines: string[] = [];

  /** All lines, joined. */
  get text(): string {
    return this.lines.join('\n');
  }
}

/** A program under test, known by its output: another process, or a command in this one. */
export abstract class ProgramOutput {
  readonly stdout = new OutputLines();
  readonly stderr = new OutputLines();
  /** Resolves when the program has ended and all its output has arrived. */
  abstract readonly exit: Promise<ExitStatus>;
  readonly #events = new EventEmitter().setMaxListeners(0);
  readonly #collected: Promise<void>[] = [];
  #status: ExitStatus | null = null;

  /** @param words the command line, for errors */
  constructor(private readonly words: string) {}

  /** Sends a signal to the program. Default: SIGTERM. */
  abstract kill(signal?: NodeJS.Signals): void;

  /**
   * Resolves with the match of the first matching line, past or future.
   * @throws an error with the end of the output if the program ends first or the timeout expires
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

  /** Reads a stream of the program from now on. */
  protected collect(stream: Readable, name: 'stdout' | 'stderr'): void {
    const lines = createInterface({ input: stream, crlfDelay: Infinity });
    lines.on('line', (line) => {
      this[name].lines.push(line);
      this.#events.emit('change');
    });
    this.#collected.push(once(lines, 'close').then(() => undefined));
  }

  /** Waits for the rest of the output of a program that has ended. */
  protected async ended(status: ExitStatus): Promise<ExitStatus> {
    await Promise.all(this.#collected);
    this.#status = status;
    this.#events.emit('change');
    return status;
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
    return new Error(`${this.words} ${what}\n${ends.join('\n')}`);
  }
}
