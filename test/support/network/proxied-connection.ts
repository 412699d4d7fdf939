import { type Socket, connect } from 'node:net';
import { RespFrames } from './resp-frames.js';

/** Returns whether a whole request, in RESP, matches. */
export type RequestMatch = (request: Buffer) => boolean;

/** The current faults of a `FaultProxy`. */
export interface Faults {
  delayMs: number;
  stalled: boolean;
  /** Bytes in this direction are dropped. */
  readonly vanish: { toServer: boolean; toClient: boolean };
  readonly losses: Set<ReplyLoss>;
  /** Called with each request before it is passed on. */
  onRequest(request: Buffer): void;
}

export interface ReplyLoss {
  readonly match: RequestMatch;
  readonly done: () => void;
}

/** The first byte of a TLS connection, whose content cannot be read. */
const TLS_HANDSHAKE = 0x16;
const [ERROR_REPLY, PUSH] = ['-', '>'].map((type) => type.charCodeAt(0));

/** A client's connection through a `FaultProxy`. */
export class ProxiedConnection {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #faults: Faults;
  readonly #toServer: Direction;
  readonly #toClient: Direction;
  readonly #requests = new RespFrames();
  readonly #replies = new RespFrames();
  readonly #losing = new Map<number, ReplyLoss>();
  #asked = 0;
  #answered = 0;
  #opaque: boolean | null = null;

  constructor(client: Socket, targetPort: number, faults: Faults) {
    this.#client = client;
    this.#server = connect(targetPort, '127.0.0.1');
    this.#faults = faults;
    this.#toServer = new Direction(this.#server, faults, 'toServer');
    this.#toClient = new Direction(this.#client, faults, 'toClient');
    client.on('data', (chunk) => this.#pass(chunk));
    this.#server.on('data', (chunk) => this.#passBack(chunk));
    for (const [from, there] of [
      [client, this.#toServer],
      [this.#server, this.#toClient],
    ] as const) {
      from.setNoDelay(true);
      from.on('error', () => undefined);
      from.on('close', (hadError) => there.close(hadError));
    }
    if (faults.stalled) this.pause();
  }

  /** True when both ends are gone. */
  get ended(): boolean {
    return this.#client.destroyed && this.#server.destroyed;
  }

  /** Sends RST to both ends and drops data in transit. */
  reset(): void {
    for (const socket of [this.#client, this.#server]) socket.resetAndDestroy();
  }

  /** Drops everything from now on, as a firewall does that has lost the connection's state. */
  forget(): void {
    this.#toServer.forget();
    this.#toClient.forget();
  }

  pause(): void {
    this.#client.pause();
    this.#server.pause();
  }

  /** Passes on held data and the closing of either end. */
  heal(): void {
    this.#client.resume();
    this.#server.resume();
    this.#toServer.heal();
    this.#toClient.heal();
  }

  #pass(chunk: Buffer): void {
    this.#opaque ??= chunk[0] === TLS_HANDSHAKE;
    if (this.#opaque) return this.#toServer.send(chunk);
    for (const request of this.#requests.split(chunk)) {
      this.#faults.onRequest(request);
      for (const loss of this.#faults.losses) if (loss.match(request)) this.#losing.set(this.#asked, loss);
      this.#asked += 1;
      this.#toServer.send(request);
    }
  }

  #passBack(chunk: Buffer): void {
    if (this.#opaque === true) return this.#toClient.send(chunk);
    for (const reply of this.#replies.split(chunk)) {
      if (reply[0] !== PUSH && this.#isLost(reply)) return;
      this.#toClient.send(reply);
    }
  }

  #isLost(reply: Buffer): boolean {
    const loss = this.#losing.get(this.#answered);
    this.#losing.delete(this.#answered);
    this.#answered += 1;
    // After an error such as NOSCRIPT or MOVED nothing has run: the client must see it and send the request again.
    if (loss === undefined || reply[0] === ERROR_REPLY || !this.#faults.losses.delete(loss)) return false;
    this.#server.destroy();
    this.#toClient.reset(loss.done);
    return true;
  }
}

/** The data for one end of a connection, in order and delayed. */
class Direction {
  readonly #to: Socket;
  readonly #faults: Faults;
  readonly #name: 'toServer' | 'toClient';
  readonly #onTheWay: (() => void)[] = [];
  /** Bytes were dropped: none may follow, since a stream has no gaps. */
  #lossy = false;
  #forgotten = false;
  /** A close not passed on yet. */
  #closing: (() => void) | null = null;

  constructor(to: Socket, faults: Faults, name: 'toServer' | 'toClient') {
    this.#to = to;
    this.#faults = faults;
    this.#name = name;
  }

  send(bytes: Buffer): void {
    this.#queue(() => {
      this.#lossy ||= this.#faults.vanish[this.#name];
      if (!this.#lossy && this.#to.writable) this.#to.write(bytes);
    });
  }

  reset(done: () => void): void {
    this.#queue(() => {
      this.#to.resetAndDestroy();
      done();
    });
  }

  close(byReset: boolean): void {
    const close = (): unknown => (byReset ? this.#to.resetAndDestroy() : this.#to.destroySoon());
    this.#queue(() => {
      if (this.#forgotten || this.#faults.vanish[this.#name]) this.#closing = close;
      else close();
    });
  }

  forget(): void {
    this.#lossy = true;
    this.#forgotten = true;
  }

  heal(): void {
    this.#forgotten = false;
    this.#closing?.();
  }

  #queue(arrive: () => void): void {
    const { delayMs } = this.#faults;
    if (delayMs === 0 && this.#onTheWay.length === 0) return arrive();
    this.#onTheWay.push(arrive);
    // The order of the timers does not matter if the delay has changed: each sends the next chunk.
    setTimeout(() => this.#onTheWay.shift()?.(), delayMs);
  }
}
