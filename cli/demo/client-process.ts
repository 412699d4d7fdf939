import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { extname, join } from 'node:path';
import type { Environment } from '../../shared/settings.js';

const CLIENT = join(import.meta.dirname, `client-main${extname(import.meta.filename)}`);
const END_MS = 3_000;

/** The demo's third process. It writes to this process's own terminal. */
export class ClientProcess {
  /** Resolves with its exit code, null if a signal ended it. */
  readonly exit: Promise<number | null>;
  readonly #child: ChildProcess;

  constructor(env: Environment) {
    this.#child = fork(CLIENT, { env: { ...env }, stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.exit = once(this.#child, 'exit').then(([code]) => code as number | null);
  }

  get pid(): number | null {
    return this.#child.pid ?? null;
  }

  /** SIGTERM, and SIGKILL after 3 s. */
  async end(): Promise<void> {
    const force = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    this.#child.kill('SIGTERM');
    await this.exit;
    clearTimeout(force);
  }
}
