import { TaskfleetClient } from 'taskfleet/client';

export async function enqueue(baseUrl, token, body) {
  const client = new TaskfleetClient({ baseUrl, token });
  return client.get((await client.enqueue(body)).id);
}
