import { test } from 'node:test';
import { checkStories } from './stories.js';

test('Hono enqueues, streams and stops tasks, serves the dashboard and shuts down', (t) =>
  checkStories(t, 'hono', { ready: /Listening on/ }));
