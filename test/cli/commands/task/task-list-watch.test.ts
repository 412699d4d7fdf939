import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { stripVTControlCharacters } from 'node:util';
import { fleetCanary } from '../../../../worker/builtin/definitions.js';
import { TestFleet } from '../../../support/fleet/test-fleet.js';
import { runCli, startCli } from '../../../support/process/run-cli.js';
import { startTestRedis } from '../../../support/redis/test-redis.js';

const ENTER = '\u001b[?1049h';
const LEAVE = '\u001b[?1049l';
const WATCH = ['task', 'list', '--watch', '1'];

describe('taskfleet task list --watch', () => {
  let fleet: TestFleet;

  before(async () => {
    fleet = await TestFleet.onOneServer();
  });
  after(() => fleet.stop());

  it('in a pipe prints a line for each change, and the end of a task that leaves the list', async () => {
    const prefix = fleet.newPrefix();
    const env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix };
    const producer = fleet.producer({ keyPrefix: prefix });
    await producer.enqueue(fleetCanary, { run_ms: 1 }, { id: 'first', item: 'a', delay: 3_600_000 });
    const [watch, json] = [startCli(WATCH, { env }), startCli([...WATCH, '-o', 'json'], { env })];
    await watch.waitForLine(/^\d{4}-\S+Z {2}first {2}fleet\.canary {2}scheduled {2}item a$/, { stream: 'stdout' });
    await json.waitForLine(/^\{"id":"first".*"state":"scheduled"/);
    await producer.stop('first', { waitMs: 60_000 });
    await watch.waitForLine(/ {2}first {2}fleet\.canary {2}cancelled {2}item a$/, { stream: 'stdout' });
    await json.waitForLine(/^\{"id":"first".*"state":"cancelled"/);
    for (const run of [watch, json]) run.kill('SIGINT');
    assert.deepEqual((await watch.exit).code, 0);
    assert.deepEqual((await json.exit).code, 0);
    assert.equal(watch.stdout.lines.length, 2, watch.stdout.text);
    assert.equal(watch.stdout.text, stripVTControlCharacters(watch.stdout.text));
  });

  it('on a terminal redraws the list in place, and restores the screen at the end', async () => {
    const prefix = fleet.newPrefix();
    const env = { REDIS_URL: fleet.redis.url, REDIS_KEY_PREFIX: prefix };
    const producer = fleet.producer({ keyPrefix: prefix });
    const watch = startCli([...WATCH, '--columns', 'id,state'], { env, terminal: true });
    await watch.waitForLine(/0 tasks, Ctrl\+C ends/);
    await producer.enqueue(fleetCanary, { run_ms: 1 }, { id: 'seen', delay: 3_600_000 });
    await watch.waitForLine(/1 task, Ctrl\+C ends/);
    await watch.waitForLine(/^seen.*scheduled/);
    watch.kill('SIGINT');
    assert.deepEqual((await watch.exit).code, 0);
    assert.ok(watch.stdout.text.startsWith(ENTER));
    assert.ok(watch.stdout.text.endsWith(LEAVE), 'the terminal is as it was');
    assert.equal(watch.stdout.text.split(ENTER).length, 2);
  });

  it('says since when it is stale while Redis is away, and goes on when Redis is back', async () => {
    const redis = await startTestRedis();
    const { url } = redis;
    const producer = fleet.producer({ redisUrl: url, keyPrefix: 'taskfleet' });
    await producer.enqueue(fleetCanary, { run_ms: 1 }, { id: 'seen', delay: 3_600_000 });
    await producer.close();
    const [terminal, pipe] = [startCli(WATCH, { env: { REDIS_URL: url }, terminal: true }), startCli(WATCH, { env: { REDIS_URL: url } })];
    await Promise.all([terminal.waitForLine(/1 task, Ctrl\+C ends/), pipe.waitForLine(/ seen .*scheduled/)]);
    await redis.kill();
    await terminal.waitForLine(/stale since \d\d:\d\d:\d\d: Redis at /);
    await pipe.waitForLine(/^Stale since \d\d:\d\d:\d\d: Redis at /, { stream: 'stderr' });
    await redis.restart();
    await pipe.waitForLine(/^Up to date again\.$/, { stream: 'stderr' });
    for (const run of [terminal, pipe]) run.kill('SIGTERM');
    assert.deepEqual([(await terminal.exit).code, (await pipe.exit).code], [0, 0]);
    await redis.stop();
  });

  it('fails like task list if there is no Redis at the start, on a screen left alone', async () => {
    const { code, stdout, stderr } = await runCli(WATCH, { env: { REDIS_URL: 'redis://127.0.0.1:1' }, terminal: true });
    assert.deepEqual([code, stdout], [69, '']);
    assert.match(stderr, /cannot be reached/);
  });
});
