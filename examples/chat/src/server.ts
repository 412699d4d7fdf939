import express, { type Express } from 'express';
import { uiMessage } from 'taskfleet/ai';
import { createDashboard } from 'taskfleet/dashboard';
import type { Producer } from 'taskfleet/producer';
import { answer } from './answer.js';
import { addMessage, readMessages } from './history.js';

/** The routes of the chat. In your service, a middleware before them checks whose chat it is. */
export function createServer(fleet: Producer): Express {
  const app = express();
  // The page reads the answers from the API of the dashboard. 'local': without a token, it serves this machine only.
  app.use('/fleet', createDashboard({ producer: fleet, auth: 'local' }).router);
  app.use(express.static('public'));
  app.use(express.json({ limit: '1mb' }));

  app.get('/api/chats/:chat', async (req, res) => {
    res.json(await readMessages(req.params.chat));
  });

  // The history is the server's: the page sends its last message, and the task gets all of them.
  app.post('/api/chats/:chat', async (req, res) => {
    const { chat } = req.params;
    await addMessage(chat, uiMessage.parse(req.body));
    const { id } = await fleet.enqueue(answer, { messages: await readMessages(chat) }, { item: chat });
    res.status(202).json({ id });
  });

  // With this token, a browser follows and stops the tasks of this chat, and does nothing else.
  app.post('/api/chats/:chat/token', async (req, res) => {
    const { token } = await fleet.itemTokens.issue({ role: 'operator', items: [req.params.chat], expiresIn: '15m' });
    res.json({ token });
  });
  return app;
}
