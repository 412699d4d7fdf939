import { createHash, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { ownPort } from '../../support/process/ports.js';
import { checkStories } from './stories.js';

test('Next.js enqueues, streams and stops tasks, forwards to the dashboard and shuts down', async (t) => {
  const token = randomBytes(32).toString('base64url');
  const port = String(await ownPort());
  await checkStories(t, 'nextjs', {
    isBuilt: true,
    ready: /Ready in/,
    env: {
      NEXT_TELEMETRY_DISABLED: '1',
      DASHBOARD_URL: `http://127.0.0.1:${port}`,
      API_PORT: port,
      API_TOKENS: `ada:admin:${createHash('sha256').update(token).digest('hex')}`,
    },
    beside: { script: 'dashboard', ready: /Dashboard listening/ },
    headers: { Authorization: `Bearer ${token}` },
  });
});
