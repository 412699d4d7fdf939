import { once } from 'node:events';
import { type Server, createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';

const FACTS = ['stops land', 'answers go on', 'reloads lose nothing', 'tabs agree', 'workers may die', 'Redis remembers'];

/** Starts a stand-in for a model: OpenAI's `POST /chat/completions`, which streams a numbered list, word by word. */
export async function startModel(wordsPerSecond: number): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createServer(async (request, response) => {
    const { messages } = JSON.parse(await text(request)) as { messages: { content: unknown }[] };
    const lines = Number(/\d+/.exec(JSON.stringify(messages.at(-1)?.content))?.[0] ?? 40);
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    const send = (delta: object, reason: string | null = null): void => {
      const choices = [{ index: 0, delta, finish_reason: reason }];
      response.write(`data: ${JSON.stringify({ id: 'answer', object: 'chat.completion.chunk', created: 0, model: 'demo', choices })}\n\n`);
    };
    for (let n = 1; n <= lines && !response.destroyed; n += 1) {
      for (const word of `${n}. Here, ${FACTS[n % FACTS.length]}.\n`.split(/(?<= )/)) {
        send({ content: word });
        await delay(1_000 / wordsPerSecond);
      }
    }
    send({}, 'stop');
    response.end('data: [DONE]\n\n');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server };
}
