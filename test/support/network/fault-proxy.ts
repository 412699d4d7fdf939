import { once } from 'node:events';
import { type Server, type Socket, createServer } from 'node:net';
import { onFreePort } from '../process/ports.js';
import { type Faults, ProxiedConnection, type RequestMatch } from './proxied-connection.js';

/** A text that is in the request, such as a key or the name of a command; or what looks at the whole request, in RESP. */
export type RequestPattern = string | RequestMatch;

export interface HalfOpenOptions {
  /**
   * True: the network is gone for those that connect later too; they are accepted and never answered. False: only the
   * present connections are lost, as when a firewall has forgotten them; who connects anew gets through. Default true.
   */
  readonly newConnections?: boolean;
}

/**
 * A way to a server on 127.0.0.1 that breaks as networks do. Faults hold for all connections, add up, and last until
 * `heal`. What depends on single requests does not work over TLS, nor on the connection of a RESP 2 subscriber.
 */
export class FaultProxy {
  readonly url: string;
  /** How many connections were ever accepted. */
  accepted = 0;
  readonly #connections = new Set<ProxiedConnection>();
  readonly #watches = new Set<(request: Buffer) => void>();
  readonly #faults: Faults = {
    delayMs: 0,
    stalled: false,
    vanish: { toServer: false, toClient: false },
    losses: new Set(),
    onRequest: (request) => {
      for (const watch of this.#watches) watch(request);
    },
  };
  #server: Server;

  private constructor(
    readonly port: number,
    private readonly targetPort: number,
    server: Server,
  ) {
    this.url = `redis://127.0.0.1:${port}`;
    this.#server = server;
    this.#serve(server);
  }

  static start(targetPort: number): Promise<FaultProxy> {
    return onFreePort(async (port) => {
      const server = await listen(port);
      return server === null ? null : new FaultProxy(port, targetPort, server);
    });
  }

  /** How many connections are open at present, at either of their ends. */
  get connections(): number {
    for (const connection of this.#connections) if (connection.ended) this.#connections.delete(connection);
    return this.#connections.size;
  }

  /** What is sent from now on arrives so much later, in each direction. */
  delay(oneWayMs: number): void {
    this.#faults.delayMs = oneWayMs;
  }

  /** Resets (RST) every connection, at both of its ends. New ones get through. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  /** Refuses new connections; the present ones stay. */
  refuse(): void {
    this.#server.close();
  }

  /**
   * Accepts new connections again.
   * @throws if somebody else has taken the port meanwhile
   */
  async accept(): Promise<void> {
    if (this.#server.listening) return;
    const server = await listen(this.port);
    if (server === null) throw new Error(`Somebody took port ${this.port} while the proxy refused connections`);
    this.#server = server;
    this.#serve(server);
  }

  /** Nothing moves, and nothing is lost: what is sent fills the buffers of the system, and arrives after `heal`. */
  stall(): void {
    this.#faults.stalled = true;
    for (const connection of this.#connections) connection.pause();
  }

  /** What is sent vanishes, in both directions, and so does the news that an end was closed. All sockets stay open. */
  halfOpen({ newConnections = true }: HalfOpenOptions = {}): void {
    if (newConnections) Object.assign(this.#faults.vanish, { toServer: true, toClient: true });
    else for (const connection of this.#connections) connection.forget();
  }

  /** As `halfOpen`, in one direction: with `toClient` the server still runs what it is asked, and nobody hears of it. */
  split(vanishing: 'toServer' | 'toClient'): void {
    this.#faults.vanish[vanishing] = true;
  }

  /**
   * The network works again, and refuses nobody. A connection that has lost bytes stays silent, for a stream has no
   * holes; one that has lost none goes on. What was armed with `loseReply` and `halfOpenAt` stays armed.
   */
  async heal(): Promise<void> {
    Object.assign(this.#faults, { delayMs: 0, stalled: false });
    Object.assign(this.#faults.vanish, { toServer: false, toClient: false });
    for (const connection of this.#connections) connection.heal();
    await this.accept();
  }

  /**
   * The next request that matches is passed on, and runs; its reply is dropped, and the connection reset at that moment.
   * A reply that is an error (NOSCRIPT, MOVED) is passed on: nothing has run, so the request to come counts.
   * @returns resolves when a reply was lost. One reply for each call.
   */
  loseReply(pattern: RequestPattern): Promise<void> {
    return new Promise((done) => this.#faults.losses.add({ match: matchOf(pattern), done }));
  }

  /**
   * `halfOpen` at the request that is the nth to match, which vanishes too: so a client can be held in the middle of what
   * it does.
   * @returns resolves at that moment
   */
  halfOpenAt(pattern: RequestPattern, nth = 1): Promise<void> {
    const match = matchOf(pattern);
    let seen = 0;
    return new Promise((resolve) => {
      const watch = (request: Buffer): void => {
        if (match(request)) seen += 1;
        if (seen < nth) return;
        this.#watches.delete(watch);
        this.halfOpen();
        resolve();
      };
      this.#watches.add(watch);
    });
  }

  /** Resets all connections and gives the port back. May be called again. */
  async stop(): Promise<void> {
    const closed = this.#server.listening ? once(this.#server, 'close') : null;
    this.#server.close();
    this.reset();
    await closed;
  }

  #serve(server: Server): void {
    server.on('connection', (client: Socket) => {
      this.accepted += 1;
      const connection = new ProxiedConnection(client, this.targetPort, this.#faults);
      this.#connections.add(connection);
    });
  }
}

function matchOf(pattern: RequestPattern): RequestMatch {
  return typeof pattern === 'string' ? (request) => request.includes(pattern) : pattern;
}

/** Null if somebody else has the port. */
async function listen(port: number): Promise<Server | null> {
  const server = createServer();
  const listening = once(server.listen({ port, host: '127.0.0.1', exclusive: true }), 'listening');
  return listening.then(
    () => server,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') return null;
      throw error;
    },
  );
}
