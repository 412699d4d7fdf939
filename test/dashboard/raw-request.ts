import { once } from 'node:events';
import { connect } from 'node:net';

/** Sends bytes as they are and gives what comes back until the server hangs up; the client never does so first. */
export async function rawRequest(port: number, bytes: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  let got = '';
  socket.setEncoding('utf8');
  socket.on('data', (data: string) => (got += data));
  // A server that has read enough may reset the connection.
  socket.on('error', () => undefined);
  const closed = once(socket, 'close');
  socket.write(bytes);
  await closed;
  return got;
}

/** The status of an answer, 0 for none. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1] ?? 0);
}
