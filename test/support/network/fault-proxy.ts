import { once } from 'node:events';
import { type Server, type Socket, createServer } from 'node:net';
import { onFreePort } from '../process/ports.js';
import { type Faults, ProxiedConnection, type RequestMatch } from './proxied-connection.js';

/** A text in the request, such as a key or a command name, or a predicate over the whole request in RESP. */
export type RequestPattern = string | RequestMatch;

export interface HalfOpenOptions {
  /**
   * True: later connections are lost too; they are accepted and never answered. False: only the present connections are lost, as when
   * a firewall drops its state; new connections work. Default true.
   */
  readonly newConnections?: boolean;
}

/**
 * A proxy to a server on 127.0.0.1 with the faults of a network. Faults apply to all connections, add up, and last until `heal`.
 * Faults at single requests do not work over TLS, nor on the connection of a RESP 2 subscriber.
 */
export class FaultProxy {
  readonly url: string;
  /** The number of connections accepted so far. */
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

  /** The number of connections open at either end. */
  get connections(): number {
    for (const connection of this.#connections) if (connection.ended) this.#connections.delete(connection);
    return this.#connections.size;
  }

  /** Delays all data from now on, in each direction. */
  delay(oneWayMs: number): void {
    this.#faults.delayMs = oneWayMs;
  }

  /** Resets (RST) every connection at both ends. New connections work. */
  reset(): void {
    for (const connection of this.#connections) connection.reset();
    this.#connections.clear();
  }

  /** Refuses new connections; present ones stay open. */
  refuse(): void {
    this.#server.close();
  }

  /**
   * Accepts new connections again.
   * @throws if another process has taken the port meanwhile
   */
  async accept(): Promise<void> {
    if (this.#server.listening) return;
    const server = await listen(this.port);
    if (server === null) throw new Error(`Another process took port ${this.port} while the proxy refused connections`);
    this.#server = server;
    this.#serve(server);
  }

  /** Holds all data without loss: it fills the buffers of the system and arrives after `heal`. */
  stall(): void {
    this.#faults.stalled = true;
    for (const connection of this.#connections) connection.pause();
  }

  /** Drops all data in both directions, the closing of an end included. All sockets stay open. */
  halfOpen({ newConnections = true }: HalfOpenOptions = {}): void {
    if (newConnections) Object.assign(this.#faults.vanish, { toServer: true, toClient: true });
    else for (const connection of this.#connections) connection.forget();
  }

  /** As `halfOpen`, in one direction: with `toClient` the server still runs requests, but its replies are lost. */
  split(vanishing: 'toServer' | 'toClient'): void {
    this.#faults.vanish[vanishing] = true;
  }

  /**
   * Ends all faults. A connection that has lost bytes stays silent, since a stream has no gaps; one that has lost none goes on. Faults
   * armed with `loseReply` and `halfOpenAt` stay armed.
   */
  async heal(): Promise<void> {
    Object.assign(this.#faults, { delayMs: 0, stalled: false });
    Object.assign(this.#faults.vanish, { toServer: false, toClient: false });
    for (const connection of this.#connections) connection.heal();
    await this.accept();
  }

  /**
   * Passes the next matching request on, drops its reply and resets the connection. An error reply (NOSCRIPT, MOVED) is passed on:
   * nothing has run, so the next request counts.
   * @returns resolves when a reply was lost; one reply for each call
   */
  loseReply(pattern: RequestPattern): Promise<void> {
    return new Promise((done) => this.#faults.losses.add({ match: matchOf(pattern), done }));
  }

  /**
   * Calls `halfOpen` at the nth matching request, which is dropped too: this holds a client in the middle of its work.
   * @returns resolves at that request
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

/** Returns null if another process has the port. */
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
