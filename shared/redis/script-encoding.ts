import { Command } from 'ioredis';
import type { RedisConnection } from './connection.js';

/** Internals of ioredis. `test/shared/redis/script-encoding.test.ts` fails if they change. */
interface Internals {
  /** The scripts of the connection by name, each with the class of its commands. */
  readonly scriptsSet: Readonly<Record<string, { readonly Command: { readonly prototype: object } }>>;
}

/**
 * Makes a connection encode the calls of its scripts in one piece. ioredis makes a buffer for each argument of a command that has a buffer
 * among them, as BullMQ's packed options are: that costs three times as much. Call it before scripts are defined.
 */
export function encodeScriptsAtOnce(redis: RedisConnection): void {
  const define = redis.defineCommand.bind(redis);
  redis.defineCommand = (name, definition) => {
    define(name, definition);
    const made = (redis as unknown as Internals).scriptsSet[name]?.Command.prototype;
    // ioredis' own class chooses between EVAL and EVALSHA, then calls its superclass.
    if (made && Object.getPrototypeOf(made) === Command.prototype) Object.setPrototypeOf(made, ScriptCall.prototype);
  };
}

class ScriptCall extends Command {
  override toWritable(socket: object): string | Buffer {
    if (!this['bufferMode']) return super.toWritable(socket);
    const args = this.args as readonly (string | Buffer)[];
    let encoded = '';
    /** What follows the last buffer. */
    let text = `*${args.length + 1}${headOf(this.name)}${this.name}`;
    for (const arg of args) {
      text += headOf(arg);
      if (typeof arg === 'string') text += arg;
      else if (!isAscii(text)) return super.toWritable(socket);
      else {
        encoded += text + arg.toString('latin1');
        text = '';
      }
    }
    return isAscii(text) ? Buffer.from(`${encoded}${text}\r\n`, 'latin1') : super.toWritable(socket);
  }
}

/** Whether a text is encoded in Latin-1 as in UTF-8. */
function isAscii(text: string): boolean {
  return Buffer.byteLength(text) === text.length;
}

const HEADS: readonly string[] = Array.from({ length: 256 }, (_, length) => `\r\n$${length}\r\n`);

/** Returns the end of the last argument and the length of the next. */
function headOf({ length }: string | Buffer): string {
  return HEADS[length] ?? `\r\n$${length}\r\n`;
}
