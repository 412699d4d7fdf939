import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type TestRedis, startTestRedis } from '../../support/redis/test-redis.js';
import { figuresOf } from './proc.js';

describe('The figures of the kernel about a process', { skip: !existsSync('/proc/self/net/tcp') && 'needs Linux' }, () => {
  let redis: TestRedis;
  before(async () => {
    redis = await startTestRedis();
  });
  after(() => redis.stop());

  it('are its memory and its connections to the given ports', async () => {
    const ports = new Set([redis.port]);
    const clients = [redis.client(), redis.client()];
    await Promise.all(clients.map((client) => client.ping()));
    const figures = figuresOf(process.pid, ports);
    assert.equal(figures?.connections, 2);
    // The same value from another source at nearly the same time.
    assert.ok(figures.rss > process.memoryUsage.rss() / 2 && figures.rss < process.memoryUsage.rss() * 2);
    assert.equal(figuresOf(process.pid, new Set([1]))?.connections, 0);
    assert.equal(figuresOf(redis.pid, ports)?.connections, 0);
  });

  it('are null after its end', async () => {
    const { pid } = redis;
    await redis.kill();
    assert.equal(figuresOf(pid, new Set()), null);
  });
});
