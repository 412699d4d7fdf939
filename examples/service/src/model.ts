import { setTimeout } from 'node:timers/promises';

/** Stands for a language model: with a real one, pass the signal to its client, so that a stop closes the connection. */
export async function* streamReply(message: string, signal: AbortSignal): AsyncGenerator<string> {
  for (const word of `You said: ${message}`.split(/(?<=\s)/)) {
    await setTimeout(50, null, { signal });
    yield word;
  }
}
