import { type HttpBindings, serve } from '@hono/node-server';
import { RESPONSE_ALREADY_SENT } from '@hono/node-server/utils/response';
import { Hono } from 'hono';
import { HTTPException } from 'hono/http-exception';
import { stream } from 'hono/streaming';
import { validator } from 'hono/validator';
import { httpStatusOf } from 'taskfleet';
import { createDashboard } from 'taskfleet/dashboard';
import { createProducer, eventToJson, receiptToJson } from 'taskfleet/producer';
import { writeStory } from './tasks.js';

const fleet = createProducer({ redisUrl: process.env.REDIS_URL ?? 'redis://127.0.0.1:6399' });
// 'local' serves this machine only: in production, pass tokens or a function that knows your users.
const dashboard = createDashboard({ producer: fleet, auth: 'local' });
const closing = new AbortController();
/** A kept connection would hold up server.close(), long after the stream has ended. */
const STREAM_HEADERS = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', Connection: 'close' };
const app = new Hono<{ Bindings: HttpBindings }>();

app.onError((error) => {
  if (error instanceof HTTPException) return error.getResponse();
  const status = httpStatusOf(error);
  if (status >= 500) console.error(error);
  return Response.json({ error: status < 500 ? error.message : 'Try again later' }, { status });
});

const newStory = validator('json', (body: { user: string; topic: string; words?: number } | null, c) => {
  return typeof body?.user === 'string' ? body : c.json({ error: 'Expected a user' }, 400);
});

app.post('/stories', newStory, async (c) => {
  const { user, ...input } = c.req.valid('json');
  const { id } = await fleet.enqueue(writeStory, input, { item: user });
  return c.json({ id }, 202);
});

app.get('/stories/:id/events', async (c) => {
  const signal = AbortSignal.any([c.req.raw.signal, closing.signal]);
  const events = fleet.events(c.req.param('id'), { after: c.req.header('Last-Event-ID'), signal });
  // Read before the response begins, so that an unknown task is a 404.
  let next = await events.next();
  for (const [name, value] of Object.entries(STREAM_HEADERS)) c.header(name, value);
  return stream(
    c,
    async (out) => {
      for (; !next.done; next = await events.next()) {
        const { id, type } = next.value;
        await out.write(`${id ? `id: ${id}\n` : ''}event: ${type}\ndata: ${JSON.stringify(eventToJson(next.value))}\n\n`);
      }
    },
    async (error) => {
      if (!signal.aborted) console.error(error);
    },
  );
});

app.delete('/stories/:id', async (c) => {
  const receipt = await fleet.stop(c.req.param('id'), { reason: 'deleted by its user', waitMs: 5_000 });
  return c.json(receiptToJson(receipt));
});

const handle = dashboard.handler('/fleet');
app.on(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], ['/fleet', '/fleet/*'], ({ env }) => {
  handle(env.incoming, env.outgoing);
  return RESPONSE_ALREADY_SENT;
});

const server = serve({ fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' }, ({ port }) => {
  console.log(`Listening on http://127.0.0.1:${port}`);
});

async function close(): Promise<void> {
  // Event streams would hold the server open, so they end first; the producer closes after the last request.
  closing.abort();
  await dashboard.close();
  server.close(() => void fleet.close());
}
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close());
