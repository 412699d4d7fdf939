import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import { createInterface } from 'node:readline';

/** A time, the database and client in brackets, then the quoted words of the command. */
const LINE = /^\+\d+\.\d+ \[[^\]]*\] (.*)$/;
const WORD = /"((?:[^"\\]|\\.)*)"/g;
const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', a: '\u0007', b: '\b' };

/**
 * Collects every command that a server runs, as a list of words. Uses a raw socket: ioredis takes a command right after MONITOR for
 * the answer to another one, and gives up the connection.
 */
export class Monitor {
  readonly commands: string[][] = [];
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Resolves when monitoring has begun. */
  static async open(port: number): Promise<Monitor> {
    const socket = connect(port, '127.0.0.1');
    await once(socket, 'connect');
    const monitor = new Monitor(socket);
    const lines = createInterface({ input: socket });
    const ready = once(lines, 'line');
    socket.write('MONITOR\r\n');
    await ready;
    lines.on('line', (line) => {
      const words = LINE.exec(line)?.[1];
      if (words === undefined) return;
      monitor.commands.push([...words.matchAll(WORD)].map(([, word = '']) => unescape(word)));
      socket.emit('command');
    });
    return monitor;
  }

  /** Resolves when the server has run a command with these words. */
  async seen(...words: string[]): Promise<void> {
    const isThere = (): boolean => this.commands.some((command) => words.every((word, index) => command[index] === word));
    while (!isThere()) await once(this.#socket, 'command');
  }

  close(): void {
    this.#socket.destroy();
  }
}

function unescape(word: string): string {
  return word.replace(/\\(x[0-9a-f]{2}|.)/gi, (_, code: string) =>
    code.length === 3 ? String.fromCharCode(Number.parseInt(code.slice(1), 16)) : (ESCAPES[code] ?? code),
  );
}
