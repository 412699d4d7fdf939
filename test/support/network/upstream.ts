import { once } from 'node:events';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { TestContext } from 'node:test';

/** Starts an HTTP server, closed after the test. Returns its base URL. */
export async function upstream(t: TestContext, listener: RequestListener): Promise<string> {
  const server = createServer(listener).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
}

/** Returns a listener that streams the text in one write, then ends or (if `cut`) breaks the connection. */
export function streaming(text: string | Uint8Array, { cut = false } = {}): RequestListener {
  return (_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text, () => (cut ? response.destroy() : response.end()));
  };
}

export const event = (json: unknown) => `data: ${JSON.stringify(json)}\n\n`;
export const delta = (content: string) => event({ choices: [{ index: 0, delta: { content } }] });
export const FINISH = event({ choices: [{ index: 0, delta: {}, finish_reason: 'stop' }] });
export const DONE = 'data: [DONE]\n\n';
