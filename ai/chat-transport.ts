import type { ChatTransport, UIMessage, UIMessageChunk } from 'ai';
import { type ClientOptions, type Receipt, type StopOptions, type Task, TaskfleetClient } from '../client/index.js';
import { AnswerRestarted } from './answer-errors.js';
import { fromNewestAttempt, uiMessageStreamOf } from './answer-stream.js';

type Send<UI_MESSAGE extends UIMessage> = Parameters<ChatTransport<UI_MESSAGE>['sendMessages']>[0];
type Reconnect<UI_MESSAGE extends UIMessage> = Parameters<ChatTransport<UI_MESSAGE>['reconnectToStream']>[0];

/** A chat, and the item that its tasks belong to. */
export interface ChatItem {
  readonly chatId: string;
  readonly item: string;
}

/** A message to be sent, as from `useChat`. */
export type SendRequest<UI_MESSAGE extends UIMessage> = ChatItem & Omit<Send<UI_MESSAGE>, 'chatId' | 'abortSignal'>;

export interface TaskfleetChatTransportOptions<UI_MESSAGE extends UIMessage> extends Pick<
  ClientOptions,
  'fetch' | 'headers' | 'credentials'
> {
  /** The URL of the dashboard with its mount, such as `https://app.example/fleet`; `''` for the root of the page's origin. */
  readonly api: string;
  /** The name of the task that answers, such as `chat.answer`. */
  readonly task: string;
  /** The item of a chat's tasks. Default: the chat's id. */
  readonly item?: string | ((chatId: string) => string);
  /**
   * A token, or a function that returns one for the item: called before the first request of a chat, and again when the API answers 401,
   * as after the token's expiry. Default: none, for a page of the dashboard's origin with a session.
   */
  readonly token?: string | ((chat: ChatItem) => string | Promise<string>);
  /** The input of the task. Default: `{ ...body, messages, trigger, messageId }`. */
  readonly input?: (request: SendRequest<UI_MESSAGE>) => unknown;
  /** Fields of the default input, beside the `body` of a single message. */
  readonly body?: object | (() => object);
  /**
   * Enqueues the task by a route of your own, which returns its id: the token then needs no `tasks`. Default: the API's
   * `POST /api/v1/tasks`.
   */
  readonly send?: (request: SendRequest<UI_MESSAGE>) => Promise<{ readonly id: string }>;
}

/** Most answers of a chat that a page takes up at once, one after the other. */
const MOST_ANSWERS = 20;
/** A task that ended while a page was loading is taken up too. */
const JUST_ENDED = '10s';

/**
 * Chats of the AI SDK whose answers are tasks: `useChat({ transport })`. An answer goes on when the page is gone, and `resume` takes it up
 * from its first chunk. `stop` of this class stops it, from every page; `stop` of the chat only leaves it, as a page that closes does: the
 * SDK does not tell them apart.
 */
export class TaskfleetChatTransport<UI_MESSAGE extends UIMessage = UIMessage> implements ChatTransport<UI_MESSAGE> {
  /** Reconnecting returns the answer from its beginning. */
  readonly resumeStreamIsReplay = true;
  /** By item, because a token is for an item. */
  readonly #clients = new Map<string, TaskfleetClient>();
  /** Enqueues whose tasks are not known yet, by item: a stop must not miss them. */
  readonly #sending = new Map<string, Set<Promise<unknown>>>();
  /** Answers that this page has followed to their end. */
  readonly #seen = new Set<string>();
  /** Where the newest attempt begins, by task, if its stream was restarted. */
  readonly #restarts = new Map<string, string>();

  constructor(private readonly options: TaskfleetChatTransportOptions<UI_MESSAGE>) {}

  /** Enqueues the answer to a message. An abort leaves the answer, which goes on, even if it is not enqueued yet. @throws TaskfleetError, as `ITEM_BUSY` */
  async sendMessages({ abortSignal: _, chatId, ...rest }: Send<UI_MESSAGE>): Promise<ReadableStream<UIMessageChunk>> {
    const chat = this.#chat(chatId);
    const { id } = await this.#untilSent(chat, this.#send({ ...chat, ...rest }));
    return this.#follow(chat, [{ id, replays: false }]);
  }

  /** Takes up the live answers of a chat, oldest first, or one that has just ended; null if there is none. */
  async reconnectToStream({ abortSignal, chatId }: Reconnect<UI_MESSAGE>): Promise<ReadableStream<UIMessageChunk> | null> {
    const chat = this.#chat(chatId);
    const tasks = await this.#answers(chat, abortSignal);
    if (tasks.length === 0) return null;
    return this.#follow(
      chat,
      tasks.map(({ id, attempt }) => ({ id, replays: attempt > 1 })),
    );
  }

  /** Stops the answers of a chat, wherever they run: every page that follows one gets the SDK's `abort`. */
  async stop(chatId: string, options: StopOptions = {}): Promise<Receipt[]> {
    const { item } = this.#chat(chatId);
    const client = this.#client({ chatId, item });
    const sending = [...(this.#sending.get(item) ?? [])];
    const receipts = await client.stopItem(item, options);
    if (sending.length === 0) return receipts;
    await Promise.allSettled(sending);
    const late = await client.stopItem(item, options);
    return [...new Map([...receipts, ...late].map((receipt) => [receipt.id, receipt])).values()];
  }

  #chat(chatId: string): ChatItem {
    const { item = chatId } = this.options;
    return { chatId, item: typeof item === 'function' ? item(chatId) : item };
  }

  #client(chat: ChatItem): TaskfleetClient {
    const { api, token, fetch, headers, credentials } = this.options;
    const existing = this.#clients.get(chat.item);
    if (existing) return existing;
    const client = new TaskfleetClient({
      baseUrl: api,
      ...(token !== undefined && { token: typeof token === 'function' ? () => token(chat) : token }),
      ...{ ...(fetch && { fetch }), ...(headers && { headers }), ...(credentials && { credentials }) },
    });
    this.#clients.set(chat.item, client);
    return client;
  }

  #send(request: SendRequest<UI_MESSAGE>): Promise<{ readonly id: string }> {
    const { task, send, input = (of: SendRequest<UI_MESSAGE>) => this.#defaultInput(of) } = this.options;
    if (send) return send(request);
    return this.#client(request).enqueue({ name: task, item: request.item, input: input(request) });
  }

  #defaultInput({ messages, trigger, messageId, body: ofMessage }: SendRequest<UI_MESSAGE>): object {
    const { body } = this.options;
    return { ...(typeof body === 'function' ? body() : body), ...ofMessage, messages, trigger, messageId };
  }

  async #untilSent<Sent>({ item }: ChatItem, sent: Promise<Sent>): Promise<Sent> {
    const all = this.#sending.get(item) ?? new Set();
    this.#sending.set(item, all.add(sent));
    try {
      return await sent;
    } finally {
      all.delete(sent);
    }
  }

  async #answers(chat: ChatItem, signal: AbortSignal | undefined): Promise<readonly Task[]> {
    const client = this.#client(chat);
    const filter = { name: this.options.task, item: exactly(chat.item) };
    const live = await client.list({ ...filter, state: 'live', order: 'oldest', limit: MOST_ANSWERS }, { signal });
    if (live.tasks.length > 0) return live.tasks;
    const ended = await client.list({ ...filter, state: 'ended', finished_after: JUST_ENDED, limit: 1 }, { signal });
    return ended.tasks.filter(({ id }) => !this.#seen.has(id));
  }

  /** Returns the answers of tasks, one after the other. */
  #follow(chat: ChatItem, tasks: readonly FollowedTask[]): ReadableStream<UIMessageChunk> {
    const rest = [...tasks];
    let current: ReadableStreamDefaultReader<UIMessageChunk> | null = null;
    let left = false;
    return new ReadableStream<UIMessageChunk>({
      pull: async (controller) => {
        for (let [task] = rest; task; [task] = rest) {
          current ??= this.#answer(chat, task).getReader();
          const { done, value } = await this.#noteRestart(task.id, current.read());
          if (left) return;
          if (!done) return controller.enqueue(value);
          this.#seen.add(task.id);
          current = null;
          rest.shift();
        }
        controller.close();
      },
      cancel: () => {
        left = true;
        void current?.cancel().catch(() => undefined);
      },
    });
  }

  #answer(chat: ChatItem, { id, replays }: FollowedTask): ReadableStream<UIMessageChunk> {
    const after = this.#restarts.get(id) ?? null;
    return uiMessageStreamOf((signal) => {
      const events = this.#client(chat).events(id, { signal, after });
      return replays && after === null ? fromNewestAttempt(events) : events;
    });
  }

  async #noteRestart<Read>(id: string, read: Promise<Read>): Promise<Read> {
    try {
      return await read;
    } catch (error) {
      if (error instanceof AnswerRestarted && error.after !== null) this.#restarts.set(id, error.after);
      throw error;
    }
  }
}

interface FollowedTask {
  readonly id: string;
  /** Whether earlier attempts may be in its stream. */
  readonly replays: boolean;
}

/** Returns the filter for exactly this item, also if it ends in `*`. */
function exactly(item: string): string {
  return item.endsWith('*') ? `${item.slice(0, -1)}\\*` : item;
}
