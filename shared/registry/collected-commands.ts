import type { RegistrationCommands, Words } from './merged-writes.js';

/** Collects the commands of a registration for a script, instead of sending them. */
export class CollectedCommands implements RegistrationCommands {
  /** Each command's name and arguments. */
  readonly all: Words[] = [];

  hset(...words: Words): void {
    this.all.push(['HSET', ...words]);
  }

  zadd(...words: Words): void {
    this.all.push(['ZADD', ...words]);
  }

  sadd(...words: Words): void {
    this.all.push(['SADD', ...words]);
  }

  pexpire(...words: Words): void {
    this.all.push(['PEXPIRE', ...words]);
  }

  mset(...words: Words): void {
    this.all.push(['MSET', ...words]);
  }
}
