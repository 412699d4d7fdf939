import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import express, { type Response } from 'express';
import { z } from 'zod';

export interface OpenAiServer {
  /** For OPENAI_API_BASE_URLS: `http://127.0.0.1:PORT/v1`. */
  readonly url: string;
  /** Returns the number of completions being streamed now. */
  openStreams(): number;
  /** Closes the server and its connections. */
  stop(): Promise<void>;
}

const MODELS = ['demo-small', 'demo-large'];
const OPENINGS = ['Let us look at', 'The short answer is', 'Consider for a moment', 'A good place to begin is', 'Most people start with'];
const VERBS = ['depends on', 'grows out of', 'has to wait for', 'is easier than', 'says little about', 'makes room for', 'returns to'];
const PLACES = ['in practice', 'on most days', 'from the first step', 'without much noise', 'after a while', 'in the end'];

const requestSchema = z.object({
  model: z.string().min(1),
  messages: z.array(z.object({ content: z.string() })).min(1),
  max_tokens: z.int().min(1).default(120),
  stream: z.literal(true),
});

/**
 * Starts a server on a free port of 127.0.0.1 with the part of OpenAI's API that the fleet uses: `GET /v1/models` and streamed
 * `POST /v1/chat/completions`. There is no model: the words come from the prompt, `max_tokens` of them, the same each time.
 */
export async function startOpenAiServer(tokensPerSecond = 40): Promise<OpenAiServer> {
  let open = 0;
  const app = express().use(express.json({ limit: '1mb' }));
  app.get('/v1/models', (_, response) => {
    response.json({ object: 'list', data: MODELS.map((id) => ({ id, object: 'model', created: 0, owned_by: 'demo' })) });
  });
  app.post('/v1/chat/completions', async (request, response) => {
    const parsed = requestSchema.safeParse(request.body);
    if (!parsed.success) {
      response.status(400).json({ error: { message: z.prettifyError(parsed.error), type: 'invalid_request_error' } });
      return;
    }
    open += 1;
    response.once('close', () => (open -= 1));
    await streamCompletion(response, parsed.data, 1_000 / tokensPerSecond);
  });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`,
    openStreams: () => open,
    stop: async () => {
      server.close();
      server.closeAllConnections();
      await once(server, 'close');
    },
  };
}

async function streamCompletion(
  response: Response,
  { model, messages, max_tokens: total }: z.output<typeof requestSchema>,
  intervalMs: number,
): Promise<void> {
  const prompt = messages.map(({ content }) => content).join('\n');
  const send = (choices: object[], rest: object = {}): void => {
    response.write(`data: ${JSON.stringify({ id: 'chatcmpl-demo', object: 'chat.completion.chunk', model, choices, ...rest })}\n\n`);
  };
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  const words = wordsAbout(prompt);
  for (let sent = 0; sent < total && !response.destroyed; sent += 1) {
    send([{ index: 0, delta: { content: words.next().value }, finish_reason: null }]);
    await delay(intervalMs);
  }
  send([{ index: 0, delta: {}, finish_reason: 'length' }]);
  const promptTokens = prompt.split(/\s+/).length;
  send([], { usage: { prompt_tokens: promptTokens, completion_tokens: total, total_tokens: promptTokens + total } });
  response.end('data: [DONE]\n\n');
}

/** Yields words without end: sentences about the longer words of the prompt. */
function* wordsAbout(prompt: string): Generator<string, never> {
  const subjects = [...new Set(prompt.toLowerCase().match(/\p{L}{4,}/gu) ?? ['silence'])];
  const pick = (list: readonly string[], place: number): string => list[place % list.length] as string;
  let space = '';
  for (let n = 0; ; n += 1) {
    const [first, second] = [pick(subjects, n), pick(subjects, n + 1 + (n % 3))];
    for (const word of `${pick(OPENINGS, n)} ${first}: ${first} ${pick(VERBS, n)} ${second} ${pick(PLACES, n)}.`.split(' ')) {
      yield space + word;
      space = ' ';
    }
  }
}
