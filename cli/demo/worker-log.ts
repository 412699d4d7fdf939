/** The processes' output for people: one line each, held back while something else moves on the terminal. */
export class WorkerLog {
  readonly #write: (line: string) => void;
  #held: string[] | null = null;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  readonly add = (name: string, line: string): void => {
    this.say(`  ${name.toLowerCase()}: ${readable(line)}`);
  };

  readonly say = (line: string): void => {
    if (this.#held === null) this.#write(line);
    else this.#held.push(line);
  };

  hold(): void {
    this.#held ??= [];
  }

  /** Writes what was held back, below a heading if there is anything. */
  release(heading: string): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const line of held.length > 0 ? [heading, ...held] : []) this.#write(line);
  }
}

/** The message of a JSON log line and the task that it is about; any other line as it is. */
function readable(line: string): string {
  try {
    const { msg, id } = JSON.parse(line) as { msg?: unknown; id?: unknown };
    if (typeof msg === 'string') return typeof id === 'string' ? `${id}: ${msg}` : msg;
  } catch {
    // Not one of ours: a stack trace, a warning of Node's.
  }
  return line;
}
