import { Queue } from 'bullmq';
import type { Producer } from '../../../producer/index.js';
import { type Keys, createKeys } from '../../../shared/keys.js';
import type { TestFleet } from '../../support/fleet/test-fleet.js';
import { ScriptedTask } from '../../support/task/scripted-task.js';
import { type Reply, TestDashboard, type Who } from '../test-dashboard.js';

/** A board with its own fleet and one scripted task; without a worker until `work`. */
export class TestBoard {
  readonly task = new ScriptedTask('note.take');
  readonly keyPrefix: string;
  readonly keys: Keys;
  readonly producer: Producer;
  /** BullMQ's own, to look into the queue `note`. */
  readonly queue: Queue;
  readonly #fleet: TestFleet;
  #dashboard: TestDashboard | null = null;

  private constructor(fleet: TestFleet) {
    this.#fleet = fleet;
    this.keyPrefix = fleet.newPrefix();
    this.keys = createKeys(this.keyPrefix);
    this.producer = fleet.producer({ keyPrefix: this.keyPrefix });
    this.queue = new Queue('note', { connection: fleet.redis.client(), prefix: this.keys.bull('note') });
  }

  static async open(fleet: TestFleet): Promise<TestBoard> {
    const board = new TestBoard(fleet);
    board.#dashboard = await TestDashboard.start(board.producer, {}, { definitions: [board.task.definition] });
    return board;
  }

  get dashboard(): TestDashboard {
    if (!this.#dashboard) throw new Error('not open');
    return this.#dashboard;
  }

  /** Calls the board's API below `/board/api`. */
  ask(who: Who, method: string, path: string, body?: Readonly<Record<string, unknown>>): Promise<Reply> {
    return this.dashboard.send(method, `/board/api${path}`, { token: this.dashboard.tokens[who], body });
  }

  async add(options: Parameters<Producer['enqueue']>[2] = {}): Promise<string> {
    return (await this.producer.enqueue(this.task.definition, { secret: 'word' }, { item: 'chat-1', ...options })).id;
  }

  async work(config: Parameters<TestFleet['worker']>[2] = {}): Promise<{ stop(): Promise<unknown> }> {
    return this.#fleet.worker(this.keyPrefix, [this.task.handler], config);
  }

  /** A task that runs, its number `index` of this board. */
  async run(index = 0): Promise<string> {
    const id = await this.add();
    await this.task.call(index);
    return id;
  }

  async stateOf(id: string): Promise<string | null> {
    return (await this.producer.get(id))?.state ?? null;
  }

  /** Returns the stored state of the queue, its schedules and the registry, to detect changes. */
  async dump(): Promise<Readonly<Record<string, string>>> {
    const { client } = this.#fleet;
    const names = (await client.keys(`${this.keys.jobs('note')}*`))
      .filter((name) => !/:(?:events|lock|marker|stalled-check|stalled)$/.test(name))
      .toSorted();
    const contents = await Promise.all(names.map((name) => this.#contentOf(name)));
    const tasks = Object.entries(await client.hgetall(this.keys.tasks))
      .filter(([, item]) => item === 'chat-1')
      .map(String)
      .toSorted();
    const schedules = await client.hgetall(this.keys.schedules);
    return {
      ...Object.fromEntries(names.map((name, index) => [name, contents[index] ?? ''])),
      tasks: JSON.stringify(tasks),
      schedules: JSON.stringify(schedules),
    };
  }

  async #contentOf(name: string): Promise<string> {
    const { client } = this.#fleet;
    switch (await client.type(name)) {
      case 'hash':
        return JSON.stringify(
          Object.entries(await client.hgetall(name))
            .map(String)
            .toSorted(),
        );
      case 'zset':
        return JSON.stringify(await client.zrange(name, '0', '-1', 'WITHSCORES'));
      case 'list':
        return JSON.stringify(await client.lrange(name, 0, -1));
      default:
        return String(await client.get(name));
    }
  }

  async registered(): Promise<number> {
    return (await this.#fleet.registrySize(this.keyPrefix)).tasks;
  }

  async close(): Promise<void> {
    await this.#dashboard?.stop();
    await this.queue.close();
  }
}
