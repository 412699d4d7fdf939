import { httpStatusOf } from 'taskfleet';
import { type Producer, createProducer } from 'taskfleet/producer';

const SHUTDOWN_LIMIT_MS = 3_000;

/** Next loads this module once for each bundle and again on each hot reload; the global object holds the one of this process. */
const held = globalThis as typeof globalThis & { fleet?: Producer; closing?: AbortController };
const closing = (held.closing ??= abortedOnSignal());

/** Returns the producer of this process. It is created by the first request: `next build` loads the routes without Redis. */
export function fleet(): Producer {
  return (held.fleet ??= createProducer({ redisUrl: process.env.REDIS_URL ?? 'redis://127.0.0.1:6399' }));
}

/** Returns a signal that is aborted when the client leaves or this process shuts down. */
export function untilGone(request: Request): AbortSignal {
  return AbortSignal.any([request.signal, closing.signal]);
}

/** Next waits for open responses before it ends: our event streams end at once, those that it forwards from the dashboard later. */
function abortedOnSignal(): AbortController {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => {
      controller.abort();
      setTimeout(() => process.exit(), SHUTDOWN_LIMIT_MS).unref();
    });
  }
  return controller;
}

/** Answers an error of the fleet by its code: 400 for a bad input, 404 for an unknown task, 503 without Redis. */
export function answerTo(error: unknown): Response {
  const status = httpStatusOf(error);
  if (status >= 500) console.error(error);
  return Response.json({ error: status < 500 ? (error as Error).message : 'Try again later' }, { status });
}
