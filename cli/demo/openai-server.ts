import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { z } from 'zod';
import { FleetError } from '../../shared/errors.js';
import { issuesOf } from '../../shared/task/definition.js';
import { completionTokens } from './completion-text.js';

export interface OpenAiServerOptions {
  /** On 127.0.0.1. Default 0: a free one. */
  readonly port?: number;
  /** How fast text comes, above 0; `Infinity` sends it all at once. Default 40. */
  readonly tokensPerSecond?: number;
  /** If given, requests without `Authorization: Bearer <apiKey>` are answered with 401. */
  readonly apiKey?: string;
  /** Called when a completion stream is over; `early` if the client closed it before the end. */
  readonly onStreamClosed?: (early: boolean) => void;
}

/** A request as it came in. */
export interface OpenAiRequest {
  readonly method: string;
  readonly path: string;
  readonly authorization: string | null;
  /** The parsed body, null if there was none or it was not JSON. */
  readonly body: unknown;
}

export interface OpenAiServer {
  /** What belongs into OPENAI_API_BASE_URLS: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  /** The last 1,000 requests, oldest first. */
  readonly requests: readonly OpenAiRequest[];
  /** How many completion streams are open now. */
  connections(): number;
  /** How many completion streams the client closed before the end, so far. */
  closedEarly(): number;
  /** Closes the server and every connection. May be called again. */
  stop(): Promise<void>;
}

const MODELS = ['demo-small', 'demo-large'] as const;
const DEFAULT_TOKENS = 120;
const MAX_BODY_BYTES = 16 * 1_048_576;
const MAX_REQUESTS_KEPT = 1_000;

const requestSchema = z.object({
  model: z.string().min(1),
  messages: z.array(z.object({ role: z.string(), content: z.string() })).min(1),
  max_tokens: z.int().min(1).max(100_000).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.object({ include_usage: z.boolean().nullish() }).nullish(),
});

/**
 * Starts a server on 127.0.0.1 that speaks the part of OpenAI's API that `chat.completion` uses, streaming or not:
 * `POST /v1/chat/completions` and `GET /v1/models`. No model behind it: the text is made from the prompt and is the same each time,
 * `max_tokens` words of it (default 120).
 *
 * @throws FleetError `INVALID_OPTION` if `tokensPerSecond` is not above 0; the listen error if the port is taken.
 */
export async function startOpenAiServer(options: OpenAiServerOptions = {}): Promise<OpenAiServer> {
  const { port = 0, tokensPerSecond = 40, apiKey = null, onStreamClosed } = options;
  if (!(tokensPerSecond > 0)) {
    throw new FleetError('INVALID_OPTION', `tokensPerSecond: expected a number above 0, got ${tokensPerSecond}`);
  }
  const requests: OpenAiRequest[] = [];
  let connections = 0;
  let closedEarly = 0;
  const streamed = (response: ServerResponse): void => {
    connections += 1;
    response.once('close', () => {
      connections -= 1;
      const early = !response.writableEnded;
      if (early) closedEarly += 1;
      onStreamClosed?.(early);
    });
  };
  const server = createServer((request, response) => {
    answer(request, response, { apiKey, tokensPerSecond, requests, streamed }).catch(() => response.destroy());
  });
  await listen(server, port);
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    requests,
    connections: () => connections,
    closedEarly: () => closedEarly,
    stop: () =>
      new Promise((resolve) => {
        // Its only error is that the server was closed before.
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => {
      server.off('error', reject);
      resolve();
    });
  });
}

interface Desk {
  readonly apiKey: string | null;
  readonly tokensPerSecond: number;
  readonly requests: OpenAiRequest[];
  /** Told of each completion stream when it opens. */
  streamed(response: ServerResponse): void;
}

async function answer(request: IncomingMessage, response: ServerResponse, desk: Desk): Promise<void> {
  const path = request.url?.split('?', 1)[0] ?? '';
  const method = request.method ?? '';
  const authorization = request.headers.authorization ?? null;
  const body = await readJson(request);
  // Gone already: its 'close' would never come again.
  if (response.destroyed) return;
  desk.requests.push({ method, path, authorization, body: body ?? null });
  if (desk.requests.length > MAX_REQUESTS_KEPT) desk.requests.shift();
  if (desk.apiKey !== null && authorization !== `Bearer ${desk.apiKey}`) {
    refuse(response, 401, 'Incorrect API key provided.', 'invalid_api_key');
  } else if (method === 'GET' && path === '/v1/models') {
    sendJson(response, 200, { object: 'list', data: MODELS.map((id) => ({ id, object: 'model', created: 0, owned_by: 'demo' })) });
  } else if (method === 'POST' && path === '/v1/chat/completions') {
    const parsed = requestSchema.safeParse(body);
    if (!parsed.success) refuse(response, 400, issuesOf(parsed.error), 'invalid_request');
    else await complete(response, parsed.data, desk);
  } else {
    refuse(response, 404, `No such endpoint: ${method} ${path}`, 'not_found');
  }
}

/** The body as JSON; undefined if it is not JSON or too long. */
async function readJson(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let length = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    length += part.length;
    if (length <= MAX_BODY_BYTES) parts.push(part);
  }
  if (length > MAX_BODY_BYTES) return undefined;
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as unknown;
  } catch {
    return undefined;
  }
}

type CompletionRequest = z.output<typeof requestSchema>;

async function complete(response: ServerResponse, request: CompletionRequest, desk: Desk): Promise<void> {
  const prompt = request.messages.map(({ content }) => content).join('\n');
  const completion: Completion = {
    tokens: completionTokens(prompt),
    wanted: request.max_tokens ?? DEFAULT_TOKENS,
    promptTokens: prompt.split(/\s+/).length,
    finish: request.max_tokens ? 'length' : 'stop',
    head: { id: `chatcmpl-demo-${desk.requests.length}`, created: Math.floor(Date.now() / 1_000), model: request.model },
  };
  if (!request.stream) return whole(response, completion, desk);
  desk.streamed(response);
  return stream(response, completion, desk, request.stream_options?.include_usage === true);
}

interface Completion {
  readonly tokens: Generator<string, never, void>;
  /** How many tokens to give. */
  readonly wanted: number;
  readonly promptTokens: number;
  readonly finish: 'length' | 'stop';
  /** What every chunk repeats. */
  readonly head: Readonly<Record<string, unknown>>;
}

function usageOf({ promptTokens, wanted }: Completion): object {
  return { prompt_tokens: promptTokens, completion_tokens: wanted, total_tokens: promptTokens + wanted };
}

async function whole(response: ServerResponse, completion: Completion, desk: Desk): Promise<void> {
  let content = '';
  const done = await pace(response, completion, desk.tokensPerSecond, (token) => (content += token));
  if (!done) return;
  const choice = { index: 0, message: { role: 'assistant', content }, finish_reason: completion.finish };
  sendJson(response, 200, { ...completion.head, object: 'chat.completion', choices: [choice], usage: usageOf(completion) });
}

async function stream(response: ServerResponse, completion: Completion, desk: Desk, withUsage: boolean): Promise<void> {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-store' });
  const send = (choices: unknown[], rest: object = {}): void => {
    const chunk = { ...completion.head, object: 'chat.completion.chunk', choices, ...rest };
    response.write(`data: ${JSON.stringify(chunk)}\n\n`);
  };
  send([{ index: 0, delta: { role: 'assistant', content: '' }, finish_reason: null }]);
  const done = await pace(response, completion, desk.tokensPerSecond, (content) => {
    send([{ index: 0, delta: { content }, finish_reason: null }]);
  });
  if (!done) return;
  send([{ index: 0, delta: {}, finish_reason: completion.finish }]);
  if (withUsage) send([], { usage: usageOf(completion) });
  response.end('data: [DONE]\n\n');
}

/**
 * Hands out the text's tokens at the given speed: on each tick those that are due by the clock, so that the speed holds
 * where timers are coarser than it. Resolves to false as soon as the client has gone.
 */
function pace(
  response: ServerResponse,
  { tokens, wanted }: Completion,
  tokensPerSecond: number,
  take: (token: string) => void,
): Promise<boolean> {
  const startedAt = performance.now();
  const dueNow = (): number =>
    tokensPerSecond === Infinity ? wanted : Math.floor(((performance.now() - startedAt) * tokensPerSecond) / 1_000) + 1;
  let given = 0;
  return new Promise((resolve) => {
    const tick = (): void => {
      const due = Math.min(wanted, dueNow());
      // A client that does not read is not written to.
      for (; given < due && !response.writableNeedDrain; given += 1) take(tokens.next().value);
      if (given < wanted) return;
      clearInterval(timer);
      resolve(true);
    };
    const timer = setInterval(tick, Math.max(1, Math.min(1_000 / tokensPerSecond, 1_000)));
    response.once('close', () => {
      clearInterval(timer);
      resolve(false);
    });
    tick();
  });
}

function refuse(response: ServerResponse, status: number, message: string, code: string): void {
  sendJson(response, status, { error: { message, type: 'invalid_request_error', code } });
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
