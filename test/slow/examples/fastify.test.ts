import { test } from 'node:test';
import { checkStories } from './stories.js';

test('Fastify enqueues, streams and stops tasks, serves the dashboard and shuts down', (t) =>
  checkStories(t, 'fastify', { ready: /Server listening at/ }));
