import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { chatCompletion, documentIndex, fleetCanary } from '../../index.js';
import type { Producer, StopReceipt } from '../../producer/index.js';
import { DOCUMENT_ROOT } from './fleet.js';
import type { Screen } from './screen.js';

const CHAT_WORDS = 160;
const NOVEL_WORDS = 2_000;
const HOUR_MS = 3_600_000;
const LONGEST_CLEANUP_MS = 30_000;
const STOPPED = { by: 'demo', waitMs: 60_000 };

/** The two workers have room for six canaries: one of the six ignores its signal, one blocks its thread. */
const RUNNING = ['page-1', 'page-2', 'page-3', 'page-4', 'deaf', 'spin'];
const WAITING = ['queued-1', 'queued-2', 'scheduled'];
const WAYS: Readonly<Record<string, string>> = {
  queue: 'it had not started',
  signal: 'its handler heeded the signal',
  kill: 'it blocked its thread, which was terminated',
  abandon: 'it ignored its signal and was abandoned after the grace period',
};

/** What a service does with a fleet: enqueues, follows, stops. It has a producer and nothing else. */
export class Show {
  /** What was checked; the demo succeeds if all of it holds. */
  readonly checks: { readonly holds: boolean; readonly text: string }[] = [];

  constructor(
    private readonly producer: Producer,
    private readonly screen: Screen,
  ) {}

  async run(): Promise<void> {
    this.screen.say('\nChats stream while a batch runs', 'bold');
    const others = Promise.all([this.#completeChat('chat-tides', 'Why does the sea come and go twice a day?'), this.#runBatch()]);
    // Awaited at the end; a failure in between is reported there.
    others.catch(() => undefined);
    await this.#stopChat();
    await this.#stopItem();
    await this.#killWorker();
    await others;
    await this.checkNone('live tasks left', async () => (await this.producer.list()).tasks.filter(({ item }) => item !== null).length);
    this.screen.endBars();
  }

  check(holds: boolean, text: string): void {
    this.checks.push({ holds, text });
  }

  /** Waits a moment: entries leave the registry, and streams close, right after their tasks have ended. */
  async checkNone(what: string, count: () => number | Promise<number>): Promise<void> {
    const deadline = performance.now() + LONGEST_CLEANUP_MS;
    let left = await count();
    for (; left > 0 && performance.now() < deadline; left = await count()) await delay(100);
    this.check(left === 0, `${what}: ${left}`);
  }

  async #completeChat(id: string, question: string): Promise<void> {
    await this.#enqueueChat(id, question, CHAT_WORDS);
    await this.#follow(id, CHAT_WORDS);
    const { chunks } = await this.producer.result<{ chunks: number }>(id);
    this.check(chunks === CHAT_WORDS, `${id} streamed ${chunks} words to its end`);
  }

  async #runBatch(): Promise<void> {
    const folders = readdirSync(DOCUMENT_ROOT).filter((name) => /^\w/.test(name));
    const tasks = await this.producer.enqueueMany(
      documentIndex,
      folders.slice(0, 40).map((path) => ({ id: `index-${path}`, item: 'batch', input: { path } })),
    );
    const update = this.screen.bar('batch', tasks.length);
    let [done, documents] = [0, 0];
    const each = tasks.map(async (task) => {
      const result = await this.producer.result(task);
      documents += result.documents;
      update((done += 1), `${documents} documents indexed`);
    });
    await Promise.all(each);
    this.check(done === tasks.length, `the batch completed: ${done} tasks, ${documents} documents indexed`);
  }

  /** Stops a chat in the middle of its stream. */
  async #stopChat(): Promise<void> {
    await this.#enqueueChat('chat-novel', 'Write a novel about a river that changes its mind.', NOVEL_WORDS);
    const words = await this.#follow('chat-novel', NOVEL_WORDS, 60);
    this.screen.say(`\nStop chat-novel in the middle of its stream, after ${words} words`, 'bold');
    const receipt = await this.producer.stop('chat-novel', { reason: 'read enough', ...STOPPED });
    this.#show(receipt);
    this.check(receipt.outcome === 'cancelled' && receipt.via === 'signal', `chat-novel: ${receiptText(receipt)}`);
  }

  /** Stops an item whose tasks run, wait or are scheduled. */
  async #stopItem(): Promise<void> {
    const tasks = await this.producer.enqueueMany(
      fleetCanary,
      [...RUNNING, ...WAITING].map((name) => ({
        ...{ id: `report-${name}`, item: 'report', delay: name === 'scheduled' ? HOUR_MS : 0 },
        input: { run_ms: HOUR_MS, mode: name === 'deaf' || name === 'spin' ? name : 'cooperative' },
      })),
    );
    for (const name of RUNNING) for await (const { type } of this.producer.events(`report-${name}`)) if (type === 'progress') break;
    this.screen.say(`\nStop the item "report": ${tasks.length} tasks that run, wait or are due in an hour`, 'bold');
    const receipts = await this.producer.stopItem('report', { reason: 'no longer wanted', ...STOPPED });
    for (const receipt of receipts) this.#show(receipt);
    const cancelled = receipts.filter(({ outcome }) => outcome === 'cancelled').length;
    const slowest = Math.max(...receipts.map(({ latencyMs }) => latencyMs ?? Infinity));
    this.check(cancelled === tasks.length, `item "report": ${cancelled} of ${tasks.length} tasks cancelled, the slowest in ${slowest} ms`);
  }

  /** Kills the worker that runs a chat: the other one finishes the tasks of the dead one. */
  async #killWorker(): Promise<void> {
    const crew = ['crew-1', 'crew-2', 'crew-3', 'crew-4'];
    for (const id of crew) await this.#enqueueChat(id, 'How does a lighthouse keeper spend the night?', CHAT_WORDS);
    await this.#follow('crew-1', CHAT_WORDS, 10);
    const killed = (await this.producer.get('crew-1'))?.worker ?? '';
    const { tasks } = await this.producer.list({ state: 'running' });
    const orphans = tasks.filter(({ worker, item }) => worker === killed && item !== null).map(({ id }) => id);
    const pid = pidOf(killed);
    this.screen.say(`\nKill the worker with pid ${pid} (SIGKILL) while it runs ${orphans.length} tasks`, 'bold');
    process.kill(pid, 'SIGKILL');
    await Promise.all(crew.map((id) => this.#follow(id, CHAT_WORDS)));
    const ended = await Promise.all(orphans.map((id) => this.producer.waitUntilFinished(id)));
    for (const task of ended) this.screen.say(`  ${task.id.padEnd(18)} ${task.state} on the worker with pid ${pidOf(task.worker)}`);
    // A task may have completed just before the kill.
    const moved = ended.filter(({ worker }) => worker !== killed).map(({ id }) => id);
    const allCompleted = ended.every(({ state }) => state === 'completed');
    this.check(allCompleted && moved.includes('crew-1'), `${moved.length} tasks of the killed worker completed on another worker`);
  }

  async #enqueueChat(id: string, content: string, words: number): Promise<void> {
    const input = { model: 'demo-large', messages: [{ role: 'user' as const, content }], max_tokens: words };
    await this.producer.enqueue(chatCompletion, input, { id, item: 'chat' });
  }

  /** Shows a chat's words as they arrive, until it has ended or there are `enough`. A new attempt starts from the first word. */
  async #follow(id: string, total: number, enough = Infinity): Promise<number> {
    const update = this.screen.bar(id, total);
    let [words, text] = [0, ''];
    for await (const event of this.producer.events(id)) {
      if (event.type === 'state' && event.state === 'running') [words, text] = [0, ''];
      if (event.type !== 'chunk') continue;
      text = `${text}${String(event.chunk)}`.slice(-40);
      update((words += 1), text.trim());
      if (words >= enough) break;
    }
    return words;
  }

  #show(receipt: StopReceipt): void {
    this.screen.say(`  ${receipt.id.padEnd(18)} ${receiptText(receipt)}`, receipt.outcome === 'cancelled' ? 'yellow' : 'red');
  }
}

function receiptText({ outcome, via, latencyMs }: StopReceipt): string {
  return outcome === 'cancelled' ? `cancelled in ${latencyMs} ms: ${WAYS[via ?? ''] ?? via}` : outcome;
}

/** A worker's id is its host, its pid and a random part: `host-4711-3fa9c2d1`. */
function pidOf(worker: string | null): number {
  return Number(/-(\d+)-\w+$/.exec(worker ?? '')?.[1]);
}
