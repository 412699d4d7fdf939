import { Readable } from 'node:stream';
import Fastify from 'fastify';
import { httpStatusOf } from 'taskfleet';
import { createDashboard } from 'taskfleet/dashboard';
import { createProducer, eventToJson, receiptToJson } from 'taskfleet/producer';
import { writeStory } from './tasks.js';

const fleet = createProducer({ redisUrl: process.env.REDIS_URL ?? 'redis://127.0.0.1:6399' });
// 'local' serves this machine only: in production, pass tokens or a function that knows your users.
const dashboard = createDashboard({ producer: fleet, auth: 'local' });
const closing = new AbortController();
const app = Fastify({ logger: true });

app.setErrorHandler<Error & { statusCode?: number }>((error, request, reply) => {
  const status = error.statusCode ?? httpStatusOf(error);
  if (status >= 500) request.log.error(error);
  return reply
    .code(status)
    .type('application/json')
    .send({ error: status < 500 ? error.message : 'Try again later' });
});

const newStory = {
  type: 'object',
  required: ['user', 'topic'],
  properties: { user: { type: 'string' }, topic: { type: 'string' }, words: { type: 'integer' } },
};

app.post<{ Body: { user: string; topic: string; words?: number } }>('/stories', { schema: { body: newStory } }, async (request, reply) => {
  const { user, ...input } = request.body;
  const { id } = await fleet.enqueue(writeStory, input, { item: user });
  return reply.code(202).send({ id });
});

app.get<{ Params: { id: string } }>('/stories/:id/events', (request, reply) => {
  const signal = AbortSignal.any([request.signal, closing.signal]);
  const events = sse(request.params.id, request.headers['last-event-id'] as string | undefined, signal);
  return reply.headers(STREAM_HEADERS).send(Readable.from(events));
});

app.delete<{ Params: { id: string } }>('/stories/:id', async (request) => {
  return receiptToJson(await fleet.stop(request.params.id, { reason: 'deleted by its user', waitMs: 5_000 }));
});

/** A kept connection would hold up app.close(), long after the stream has ended. */
const STREAM_HEADERS = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', Connection: 'close' };

/** Yields the events of a task as server-sent events, until it ends or the client leaves. */
async function* sse(id: string, after: string | undefined, signal: AbortSignal) {
  try {
    for await (const event of fleet.events(id, { after, signal })) {
      yield `${event.id ? `id: ${event.id}\n` : ''}event: ${event.type}\ndata: ${JSON.stringify(eventToJson(event))}\n\n`;
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

app.register((scope, _options, done) => {
  const handle = dashboard.handler('/fleet');
  // The dashboard reads the body and writes the response, so Fastify must do neither.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', (_request, _body, parsed) => parsed(null));
  for (const url of ['/fleet', '/fleet/*']) {
    scope.all(url, (request, reply) => {
      reply.hijack();
      handle(request.raw, reply.raw);
    });
  }
  done();
});

// Event streams would hold the server open, so they end first; the producer closes after the last request.
app.addHook('preClose', async () => {
  closing.abort();
  await dashboard.close();
});
app.addHook('onClose', () => fleet.close());
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void app.close());

await app.listen({ port: Number(process.env.PORT ?? 3000) });
