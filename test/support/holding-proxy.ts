import { once } from 'node:events';
import { type AddressInfo, type Socket, connect, createServer } from 'node:net';
import { type Deferred, deferred } from './deferred.js';

/** A way to a local server on which one client can be held in the middle of what it does. */
export interface HoldingProxy {
  readonly url: string;
  /** Resolves when somebody has said what was waited for. From that on nothing gets through in either direction. */
  readonly held: Promise<void>;
  close(): void;
}

/** Holds when clients have said something with `text` in it so many times; the last one is not passed on either. */
export async function startHoldingProxy(port: number, text: string, times = 1): Promise<HoldingProxy> {
  const sockets = new Set<Socket>();
  const held: Deferred<void> = deferred();
  let [holds, said] = [false, 0];
  const server = createServer((near) => {
    const far = connect(port, '127.0.0.1');
    near.on('data', (data) => {
      if (data.includes(text)) said += 1;
      holds = said >= times;
      if (holds) held.resolve();
      else far.write(data);
    });
    far.on('data', (data) => {
      if (!holds) near.write(data);
    });
    for (const [one, other] of [[near, far], [far, near]] as const) {
      sockets.add(one);
      one.on('error', () => undefined);
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
    }
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `redis://127.0.0.1:${(server.address() as AddressInfo).port}`,
    held: held.promise,
    close: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
