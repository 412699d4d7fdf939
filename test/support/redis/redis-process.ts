import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis, type RedisOptions } from 'ioredis';
import { forget, reapAtExit } from '../process/reaper.js';

/** Connection options for the test's clients: port, credentials, certificates. */
export type RedisAccess = Pick<RedisOptions, 'host' | 'port' | 'username' | 'password' | 'tls'>;

export interface RedisProcessOptions {
  readonly binary: string;
  /** The folder with `redis.conf`; the process logs to `redis.log` there. */
  readonly dir: string;
  /** Arguments after the name of the configuration file. */
  readonly args: readonly string[];
  readonly access: RedisAccess;
}

const START_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 2_000;
const RETRY_MS = 10;
const SHOWN_LOG_CHARS = 2_048;
/** The text of EADDRINUSE in glibc, macOS and musl. */
const PORT_TAKEN = /Address (?:already )?in use/;

/** A redis-server or sentinel with a configuration file that it may rewrite; killed when the test process ends. */
export class RedisProcess {
  #child: ChildProcess | null = null;

  constructor(private readonly options: RedisProcessOptions) {}

  /** The current process: each launch changes it. */
  get pid(): number {
    const pid = this.#child?.pid;
    if (pid === undefined) throw new Error('This redis-server is not running');
    return pid;
  }

  get running(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /**
   * Resolves when the process answers and has read its data; false if somebody else has a port that it needs.
   * @throws an error with the end of its log if it ends, or does not answer within 60 s
   */
  async launch(): Promise<boolean> {
    const { binary, dir, args } = this.options;
    const log = join(dir, 'redis.log');
    const logged = (await readFile(log, 'utf8').catch(() => '')).length;
    // The server prints configuration errors before it knows its log file.
    const output = await open(log, 'a');
    const child = spawn(binary, [join(dir, 'redis.conf'), ...args], { cwd: dir, detached: true, stdio: ['ignore', output.fd, output.fd] });
    await output.close();
    const ended = new AbortController();
    child.once('error', (error) => ended.abort(error)).once('exit', () => ended.abort());
    this.#child = child;
    if (child.pid !== undefined) {
      const { pid } = child;
      reapAtExit(pid);
      child.once('exit', () => forget(pid));
    }
    const last = await this.#untilServing(ended.signal);
    if (last === null) {
      child.unref();
      return true;
    }
    await this.end('SIGKILL');
    const text = (await readFile(log, 'utf8')).slice(logged);
    if (PORT_TAKEN.test(text)) return false;
    throw new Error(`${binary} in ${dir} did not serve: ${last}. The end of its log:\n${text.slice(-SHOWN_LOG_CHARS)}`);
  }

  /** Resolves when the process is gone. Does nothing if it does not run. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    const child = this.#child;
    if (child?.pid === undefined || !this.running) return;
    child.ref();
    const exit = once(child, 'exit');
    child.kill(signal);
    // A process stopped by the test handles SIGTERM only after SIGCONT.
    child.kill('SIGCONT');
    await exit;
  }

  /** Returns null when the server is ready, else the reason. */
  async #untilServing(ended: AbortSignal): Promise<string | null> {
    const deadline = performance.now() + START_TIMEOUT_MS;
    for (;;) {
      const problem = await this.#problem();
      if (problem === null || performance.now() > deadline) return problem;
      if (ended.aborted) return `it has ended; ${problem}`;
      await delay(RETRY_MS, undefined, { signal: ended }).catch(() => undefined);
    }
  }

  async #problem(): Promise<string | null> {
    const probe = new Redis({
      ...{ ...this.options.access, protocol: 2, lazyConnect: true, enableReadyCheck: false, disableClientInfo: true },
      ...{ retryStrategy: () => null, connectTimeout: ANSWER_TIMEOUT_MS, commandTimeout: ANSWER_TIMEOUT_MS },
    });
    let problem = 'no answer';
    // This error is more precise than the one from connect().
    probe.on('error', (error: Error) => {
      problem = error.message;
    });
    try {
      await probe.connect();
      const info = await probe.info();
      const pid = /^process_id:(\d+)/m.exec(info)?.[1];
      if (pid !== String(this.#child?.pid)) return `process ${pid} has its port`;
      return /^loading:1/m.test(info) ? 'it is loading its data' : null;
    } catch (error) {
      return problem === 'no answer' ? String(error) : problem;
    } finally {
      probe.disconnect();
    }
  }
}
