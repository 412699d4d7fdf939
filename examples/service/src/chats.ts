import { type ErrorRequestHandler, type Request, Router, json } from 'express';
import { FleetError, httpStatusOf } from 'taskfleet';
import { type Producer, eventToJson, receiptToJson } from 'taskfleet/producer';
import { answer } from './tasks.js';

const STREAM_HEADERS = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store, no-transform', Connection: 'close' };

/** The routes of chats. Check here that the chat belongs to the caller. */
export function chatRoutes(fleet: Producer, closing: AbortSignal): Router {
  const router = Router().use(json());

  router.post('/chats/:chat/messages', async (req: Request<{ chat: string }>, res) => {
    const { id } = await fleet.enqueue(answer, req.body, { item: req.params.chat });
    res.status(202).json({ id });
  });

  router.get('/chats/:chat/answers/:id', async (req, res) => {
    const { chat, id } = req.params;
    if ((await fleet.get(id))?.item !== chat) throw new FleetError('TASK_NOT_FOUND', `Chat ${chat} has no answer ${id}.`);
    const gone = new AbortController();
    res.once('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, closing]);
    res.writeHead(200, STREAM_HEADERS);
    try {
      for await (const event of fleet.events(id, { after: req.get('Last-Event-ID'), signal })) {
        res.write(`${event.id ? `id: ${event.id}\n` : ''}event: ${event.type}\ndata: ${JSON.stringify(eventToJson(event))}\n\n`);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
    res.end();
  });

  router.post('/chats/:chat/stop', async (req: Request<{ chat: string }>, res) => {
    const receipts = await fleet.stopItem(req.params.chat, { reason: 'stopped by the user', waitMs: 5_000 });
    res.json(receipts.map(receiptToJson));
  });

  return router.use(answerErrors);
}

/** Answers an error of the fleet by its code: 400 for a bad message, 404 for an unknown answer, 503 without Redis. */
const answerErrors: ErrorRequestHandler = (error, _req, res, next) => {
  const status = httpStatusOf(error);
  if (status === 500 || res.headersSent) next(error);
  else res.status(status).json({ error: status < 500 ? error.message : 'Try again later' });
};
