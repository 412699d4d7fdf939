import assert from 'node:assert/strict';
import type { TestDashboard, Who } from '../../test-dashboard.js';

export interface Issued {
  readonly token: string;
  readonly id: string;
  readonly expires_at: string;
}

/** Issues an item token over HTTP, by default for an operator of the item `mine` who may enqueue `note.write`. */
export async function issueToken(
  dashboard: TestDashboard,
  body: Readonly<Record<string, unknown>> = {},
  who: Who = 'operator',
): Promise<Issued> {
  const all = { role: 'operator', items: ['mine'], ...(body['role'] !== 'viewer' && { tasks: ['note.write'] }), ...body };
  const reply = await dashboard.send('POST', '/api/v1/tokens', { token: dashboard.tokens[who], body: all });
  assert.equal(reply.status, 201, reply.text);
  assert.equal(reply.headers['cache-control'], 'no-store');
  return reply.body as Issued;
}
