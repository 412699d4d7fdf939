/**
 * The types of the AI SDK that ai/ uses. A program that imports `taskfleet/ai` installs the package `ai`, which requires a newer Node than
 * this repository does; the declarations in dist/ refer to the real types. test/slow/examples/chat.test.ts compiles against those.
 */
declare module 'ai' {
  export interface UIMessage {
    id: string;
    role: 'system' | 'user' | 'assistant';
    metadata?: unknown;
    parts: { type: string }[];
  }

  export type UIMessageChunk =
    | { type: 'start'; messageId?: string; messageMetadata?: unknown }
    | { type: 'finish'; finishReason?: string; messageMetadata?: unknown }
    | { type: 'message-metadata'; messageMetadata: unknown }
    | { type: 'start-step' }
    | { type: 'finish-step' }
    | { type: 'reset-step' }
    | { type: 'abort'; reason?: string }
    | { type: 'error'; errorText: string }
    | { type: 'text-start'; id: string }
    | { type: 'text-delta'; id: string; delta: string; providerMetadata?: object }
    | { type: 'text-end'; id: string }
    | { type: 'reasoning-start'; id: string }
    | { type: 'reasoning-delta'; id: string; delta: string; providerMetadata?: object }
    | { type: 'reasoning-end'; id: string }
    | { type: 'tool-input-start'; toolCallId: string; toolName: string }
    | { type: 'tool-input-delta'; toolCallId: string; inputTextDelta: string }
    | { type: 'tool-input-available'; toolCallId: string; toolName: string; input: unknown }
    | { type: 'tool-input-error'; toolCallId: string; toolName: string; input: unknown; errorText: string }
    | { type: 'tool-output-available'; toolCallId: string; output: unknown }
    | { type: 'tool-output-error'; toolCallId: string; errorText: string }
    | { type: 'file'; url: string; mediaType: string }
    | { type: `data-${string}`; id?: string; data: unknown; transient?: boolean };

  export type InferUIMessageChunk<UI_MESSAGE extends UIMessage> = UIMessageChunk & { readonly '~of'?: UI_MESSAGE };

  export interface ChatRequestOptions {
    headers?: Record<string, string> | Headers;
    body?: object;
    metadata?: unknown;
  }

  export interface ChatTransport<UI_MESSAGE extends UIMessage> {
    readonly resumeStreamIsReplay?: boolean;
    sendMessages: (
      options: {
        trigger: 'submit-message' | 'regenerate-message';
        chatId: string;
        messageId: string | undefined;
        messages: UI_MESSAGE[];
        abortSignal: AbortSignal | undefined;
      } & ChatRequestOptions,
    ) => Promise<ReadableStream<UIMessageChunk>>;
    reconnectToStream: (
      options: { chatId: string; abortSignal?: AbortSignal } & ChatRequestOptions,
    ) => Promise<ReadableStream<UIMessageChunk> | null>;
  }

  export type ToolSet = Record<string, object>;

  export type TextStreamPart<TOOLS extends ToolSet> = { type: string; error?: unknown; tools?: TOOLS };

  export interface UIMessageStreamOptions<UI_MESSAGE extends UIMessage> {
    originalMessages?: UI_MESSAGE[];
    generateMessageId?: () => string;
    onError?: (error: unknown) => string;
    redactToolErrors?: boolean;
    sendStart?: boolean;
    sendFinish?: boolean;
  }

  export function toUIMessageStream<TOOLS extends ToolSet, UI_MESSAGE extends UIMessage>(
    options: { stream: ReadableStream<TextStreamPart<TOOLS>>; tools?: TOOLS } & UIMessageStreamOptions<UI_MESSAGE>,
  ): ReadableStream<InferUIMessageChunk<UI_MESSAGE>>;

  export function createUIMessageStream<UI_MESSAGE extends UIMessage>(options: {
    execute: (options: { writer: { merge(stream: ReadableStream<InferUIMessageChunk<UI_MESSAGE>>): void } }) => void;
    onError?: (error: unknown) => string;
    originalMessages?: UI_MESSAGE[];
    generateId?: () => string;
    onEnd?: (end: { responseMessage: UI_MESSAGE }) => void;
  }): ReadableStream<InferUIMessageChunk<UI_MESSAGE>>;
}
