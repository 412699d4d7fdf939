import type { UIMessage, UIMessageChunk } from 'ai';
import { z } from 'zod';
import { TaskfleetChatTransport, type TaskfleetChatTransportOptions, uiMessage, uiMessageChunk } from '../../ai/index.js';
import type { TaskContext } from '../../index.js';
import { defineHandler, defineTask } from '../../index.js';
import type { Producer } from '../../producer/index.js';
import type { WhenBusy } from '../../shared/limiter/policy.js';
import { TestDashboard } from '../dashboard/test-dashboard.js';
import { type Deferred, deferred } from '../support/deferred.js';
import { TestFleet } from '../support/fleet/test-fleet.js';

export type AnswerContext = TaskContext<{ messages: UIMessage[]; mood?: string | undefined }, UIMessageChunk>;

/** The task whose definition has a policy: `chat.wait`. */
export const chatTask = (whenBusy: WhenBusy) =>
  defineTask({
    name: `chat.${whenBusy}`,
    input: z.looseObject({ messages: z.array(uiMessage), mood: z.string().optional() }),
    chunk: uiMessageChunk,
    retry: { attempts: 3, backoff: { type: 'fixed', delayMs: 1 } },
    concurrency: { by: 'item', limit: 1 },
    whenBusy,
  });

const POLICIES = ['wait', 'reject', 'stop-previous', 'replace-waiting'] as const;

/** A fleet whose chats are answered by the test, one script for each, and a dashboard with its API. */
export class ChatFleet {
  readonly #scripts = new Map<string, (context: AnswerContext) => Promise<unknown>>();
  readonly #started = new Map<string, Deferred<AnswerContext>>();
  /** Ids of the item tokens that were issued, by item. */
  readonly tokens = new Map<string, string[]>();

  private constructor(
    private readonly fleet: TestFleet,
    readonly producer: Producer,
    readonly dashboard: TestDashboard,
  ) {}

  static async start(): Promise<ChatFleet> {
    const fleet = await TestFleet.start();
    const keyPrefix = fleet.newPrefix();
    const producer = fleet.producer({ keyPrefix });
    const definitions = POLICIES.map(chatTask);
    const dashboard = await TestDashboard.start(producer, {}, { definitions });
    const chats = new ChatFleet(fleet, producer, dashboard);
    const handlers = definitions.map((definition) =>
      defineHandler(definition, async (context) => {
        chats.#startOf(context.item ?? '').resolve(context);
        return chats.#scripts.get(context.item ?? '')?.(context);
      }),
    );
    await fleet.worker(keyPrefix, handlers);
    return chats;
  }

  /** Sets what answers a chat. */
  answer(item: string, script: (context: AnswerContext) => Promise<unknown>): void {
    this.#scripts.set(item, script);
    this.#started.delete(item);
  }

  /** Resolves with the context of the first attempt that started since the script was set. */
  started(item: string): Promise<AnswerContext> {
    return this.#startOf(item).promise;
  }

  /** Returns a transport with item tokens, as in a page of its own. */
  transport(policy: WhenBusy = 'wait', options: Partial<TaskfleetChatTransportOptions<UIMessage>> = {}): TaskfleetChatTransport {
    const task = `chat.${policy}`;
    return new TaskfleetChatTransport({
      api: this.dashboard.url,
      task,
      token: async ({ item }) => {
        const { id, token } = await this.producer.itemTokens.issue({ role: 'operator', items: [item], tasks: [task] });
        this.tokens.set(item, [...(this.tokens.get(item) ?? []), id]);
        return token;
      },
      ...options,
    });
  }

  async stop(): Promise<void> {
    await this.dashboard.stop();
    await this.fleet.stop();
  }

  #startOf(item: string): Deferred<AnswerContext> {
    const existing = this.#started.get(item) ?? deferred<AnswerContext>();
    this.#started.set(item, existing);
    return existing;
  }
}

/** A message of a user. */
export const say = (text: string): UIMessage => ({ id: `m-${text}`, role: 'user', parts: [{ type: 'text', text } as { type: string }] });

/** Options of `sendMessages`, as from the SDK. */
export const sendOf = (chatId: string, text = 'hello', more: object = {}) => ({
  ...{ chatId, messages: [say(text)], trigger: 'submit-message' as const, messageId: undefined, abortSignal: undefined },
  ...more,
});

/** Reads a stream of chunks, and tells what has arrived. */
export class ChunkLog {
  readonly chunks: UIMessageChunk[] = [];
  readonly #reader: ReadableStreamDefaultReader<UIMessageChunk>;
  /** Resolves when the stream ends. */
  readonly end: Promise<void>;
  #more = deferred();

  constructor(stream: ReadableStream<UIMessageChunk>) {
    this.#reader = stream.getReader();
    this.end = this.#read();
    this.end.catch(() => undefined);
  }

  get text(): string {
    return this.chunks.map((chunk) => (chunk.type === 'text-delta' ? chunk.delta : '')).join('');
  }

  get types(): string[] {
    return this.chunks.map(({ type }) => type);
  }

  /** Resolves once the text has arrived. */
  async until(text: string): Promise<void> {
    while (!this.text.includes(text)) await this.#more.promise;
  }

  /** Leaves the stream, as a page that closes. */
  leave(): Promise<void> {
    return this.#reader.cancel();
  }

  async #read(): Promise<void> {
    try {
      for (;;) {
        const { done, value } = await this.#reader.read();
        if (done) return;
        this.chunks.push(value);
        this.#more.resolve();
        this.#more = deferred();
      }
    } catch (error) {
      this.#more.promise.catch(() => undefined);
      this.#more.reject(error);
      throw error;
    }
  }
}

export const text = (delta: string): UIMessageChunk => ({ type: 'text-delta', id: '1', delta });

/** Emits the beginning of an answer. */
export function begin({ id, emit }: AnswerContext): void {
  for (const chunk of [{ type: 'start', messageId: id }, { type: 'start-step' }, { type: 'text-start', id: '1' }] as const) emit(chunk);
}

/** Emits the end of an answer. */
export function finish({ emit }: AnswerContext): void {
  for (const chunk of [{ type: 'text-end', id: '1' }, { type: 'finish-step' }, { type: 'finish' }] as const) emit(chunk);
}

/** Resolves with the signal's abort, never otherwise. */
export function stopped({ signal }: AnswerContext): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
}
