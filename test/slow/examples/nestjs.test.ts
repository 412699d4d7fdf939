import { test } from 'node:test';
import { checkStories } from './stories.js';

test('NestJS enqueues, streams and stops tasks, serves the dashboard and shuts down', (t) =>
  checkStories(t, 'nestjs', { ready: /Listening on http/, isBuilt: true }));
