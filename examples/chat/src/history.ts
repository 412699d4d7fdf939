import { appendFile, mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { UIMessage } from 'ai';

// Stands for your database: a file for each chat, with a message in each line. A later line replaces an earlier one with the same id.
const FOLDER = process.env.HISTORY ?? '.chats';

export async function addMessage(chat: string, message: UIMessage): Promise<void> {
  // A stop before the first word leaves an empty answer.
  if (message.parts.length === 0) return;
  await mkdir(FOLDER, { recursive: true });
  await appendFile(fileOf(chat), `${JSON.stringify(message)}\n`);
}

export async function readMessages(chat: string): Promise<UIMessage[]> {
  const text = await readFile(fileOf(chat), 'utf8').catch(() => '');
  const messages = text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as UIMessage);
  return [...new Map(messages.map((message) => [message.id, message])).values()];
}

function fileOf(chat: string): string {
  return join(FOLDER, `${encodeURIComponent(chat)}.jsonl`);
}
