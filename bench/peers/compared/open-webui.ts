/**
 * open-webui's way to run and stop tasks: written here after its protocol, without its sources. A task is a coroutine of the process that
 * creates it; a hash and a set in Redis list it, and a published command reaches its process.
 */
import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import type { Peer, PeerInfo, Run, Servers, Work } from './peer.js';

const KEYS = { tasks: 'open-webui:tasks', item: 'open-webui:tasks:item:bench', commands: 'open-webui:tasks:commands' };
const NO_QUEUE = { reason: 'there is no queue: a task starts in the process that creates it', source: 'backend/open_webui/tasks.py' };

export const info: PeerInfo = {
  name: 'open-webui',
  title: "open-webui's way",
  packages: [],
  server: 'Redis',
  settings: 'a copy of its protocol in Node.js, [open-webui.ts](../bench/peers/compared/open-webui.ts); the lease of a task is off',
  source: 'https://github.com/open-webui/open-webui/blob/main/backend/open_webui/tasks.py',
  shares: { calls: 1, jobs: 1 },
  runsWhereCreated: true,
  capabilities: {
    bulk: NO_QUEUE,
    process: NO_QUEUE,
    latency: NO_QUEUE,
    stopWaiting: NO_QUEUE,
    stopRunning: { how: '`stop_task`: publishes a command and deletes the entry at once, whether or not the task ends' },
    stopCpu: { how: 'the same; the process that runs the task is blocked and reads the command afterwards' },
  },
};

export async function open({ redisUrl }: Servers): Promise<Peer> {
  const redis = new Redis(redisUrl);
  await redis.ping();
  return new OpenWebui(redis);
}

class OpenWebui implements Peer {
  readonly #running = new Map<string, AbortController>();
  readonly #subscriber: Redis;
  #run: Run = () => Promise.resolve();

  constructor(private readonly redis: Redis) {
    this.#subscriber = redis.duplicate();
  }

  /** Registers and starts a task in this process. */
  async enqueueOne(work: Work): Promise<string> {
    const id = randomUUID();
    await this.redis.pipeline().hset(KEYS.tasks, id, 'bench').sadd(KEYS.item, id).exec();
    const controller = new AbortController();
    this.#running.set(id, controller);
    setImmediate(() => void this.#perform(id, work, controller.signal));
    return id;
  }

  enqueueMany(): Promise<void> {
    return Promise.reject(new Error('open-webui has no queue'));
  }

  async work(run: Run): Promise<void> {
    this.#run = run;
    this.#subscriber.on('message', (_channel, message) => {
      const { action, task_id: id } = JSON.parse(message) as { action: string; task_id: string };
      if (action === 'stop') this.#running.get(id)?.abort(new Error('cancelled'));
    });
    await this.#subscriber.subscribe(KEYS.commands);
  }

  async stop(id: string): Promise<boolean> {
    await this.redis.publish(KEYS.commands, JSON.stringify({ action: 'stop', task_id: id }));
    await this.#remove(id);
    return true;
  }

  async isSettled(id: string): Promise<boolean> {
    return (await this.redis.hexists(KEYS.tasks, id)) === 0;
  }

  unfinished(): Promise<number> {
    return this.redis.hlen(KEYS.tasks);
  }

  close(): Promise<void> {
    this.#subscriber.disconnect();
    this.redis.disconnect();
    return Promise.resolve();
  }

  async #perform(id: string, work: Work, signal: AbortSignal): Promise<void> {
    await this.#run(work, signal).catch(() => undefined);
    this.#running.delete(id);
    await this.#remove(id);
  }

  async #remove(id: string): Promise<void> {
    await this.redis.pipeline().hdel(KEYS.tasks, id).srem(KEYS.item, id).exec();
  }
}
