import { EventEmitter, once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { TestContext } from 'node:test';

/** A server that lists models, closed after the test. A test may change its list and keep it from answering. */
export class ModelServer {
  readonly url: string;
  /** The list: ids, or whole models. */
  models: readonly (string | object)[] = [];
  /** True: the server accepts requests and never answers. */
  silent = false;
  /** `method path authorization` of each request. */
  readonly requests: string[] = [];
  readonly #asking = new Set<Socket>();
  readonly #server: Server;
  readonly #events = new EventEmitter();

  private constructor(server: Server) {
    this.#server = server;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
    server.on('request', (request: IncomingMessage, response: ServerResponse) => this.#answer(request, response));
  }

  static async start(t: TestContext, models: readonly (string | object)[] = []): Promise<ModelServer> {
    const listening = createServer().listen(0, '127.0.0.1');
    await once(listening, 'listening');
    const server = new ModelServer(listening);
    server.models = models;
    t.after(() => server.stop());
    return server;
  }

  /** Refuses connections from now on. */
  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  /** Resolves with the next request. */
  async asked(): Promise<void> {
    await once(this.#events, 'asked');
  }

  /** Resolves when every connection with a request is closed: after an abort, fetch opens another one and leaves it idle. */
  async disconnected(): Promise<void> {
    while (this.#asking.size > 0) await once(this.#events, 'closed');
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.requests.push(`${request.method} ${request.url} ${request.headers.authorization ?? '-'}`);
    this.#watch(request.socket);
    this.#events.emit('asked');
    if (this.silent) return;
    const data = this.models.map((model) => (typeof model === 'string' ? { id: model, object: 'model', owned_by: 'somebody' } : model));
    // A stopping server refuses new connections instead of cutting a kept one.
    response.setHeader('connection', 'close');
    response.end(JSON.stringify({ object: 'list', data }));
  }

  #watch(socket: Socket): void {
    this.#asking.add(socket);
    socket.once('close', () => {
      this.#asking.delete(socket);
      this.#events.emit('closed');
    });
  }
}
