import type { UIMessage } from 'ai';
import { createRoot } from 'react-dom/client';
import { TaskfleetChatTransport } from 'taskfleet/ai';
import { Chat } from './chat.js';

const address = new URL(location.href);
const id = address.searchParams.get('chat') ?? `chat-${crypto.randomUUID()}`;
address.searchParams.set('chat', id);
history.replaceState(null, '', address);

const transport = new TaskfleetChatTransport<UIMessage>({
  api: '/fleet',
  task: 'chat.answer',
  token: async ({ chatId }) => (await ask<{ token: string }>('POST', `/api/chats/${chatId}/token`)).token,
  send: ({ chatId, messages }) => ask<{ id: string }>('POST', `/api/chats/${chatId}`, messages.at(-1)),
});

const readMessages = () => ask<UIMessage[]>('GET', `/api/chats/${id}`);

createRoot(document.getElementById('root')!).render(<Chat {...{ id, transport, readMessages }} initial={await readMessages()} />);

async function ask<Answer>(method: string, path: string, body?: object): Promise<Answer> {
  const response = await fetch(path, {
    method,
    ...(body && { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) }),
  });
  if (!response.ok) throw new Error(`The server answered ${response.status}. Try again.`);
  return response.json();
}
