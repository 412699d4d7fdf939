import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Producer, createProducer } from '../../../producer/index.js';
import { built } from '../process/built.js';
import type { CommandResult } from '../process/command.js';
import { type CliRun, runCli, startCli } from '../process/run-cli.js';
import { type TestRedis, startTestRedis } from '../redis/test-redis.js';

/** A Redis, a `taskfleet worker` in this process with the task module of the CLI tests, and a producer. */
export class CliFleet {
  private constructor(
    /** An empty folder, the commands' working directory. */
    readonly folder: string,
    readonly redis: TestRedis,
    readonly env: Readonly<Record<string, string>>,
    readonly producer: Producer,
    readonly worker: CliRun,
  ) {}

  /** Resolves when the worker takes tasks. */
  static async start(): Promise<CliFleet> {
    const folder = await mkdtemp(join(tmpdir(), 'taskfleet-cli-'));
    const redis = await startTestRedis();
    const env = { REDIS_URL: redis.url, TASK_MODULES: built('test/cli/commands/tasks.mjs') };
    const worker = startCli(['worker'], { env, cwd: folder });
    await worker.waitForLine(/Worker is ready/);
    return new CliFleet(folder, redis, env, createProducer({ redisUrl: redis.url }), worker);
  }

  /** Runs `taskfleet task …` to its end, in this process. */
  task(...args: string[]): Promise<CommandResult> {
    return runCli(['task', ...args], { env: this.env, cwd: this.folder });
  }

  async stop(): Promise<void> {
    await this.worker.stop();
    await this.producer.close();
    await this.redis.stop();
    await rm(this.folder, { recursive: true, force: true });
  }
}
