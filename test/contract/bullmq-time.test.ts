/** BullMQ's scripts, in the pinned version, use the time of Redis instead of the caller's clock. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { useRedisTime } from '../../shared/clock/bullmq-time.js';

const commands = path.join(path.dirname(createRequire(import.meta.url).resolve('bullmq')), 'commands');

/** BullMQ's scripts after the replacement. */
function rewritten(): Map<string, string> {
  const found = new Map<string, string>();
  const redis = {
    defineCommand: (name: string, { lua }: { lua: string }) => found.set(name.split(':')[0] as string, lua),
  } as unknown as Redis;
  useRedisTime(redis);
  for (const file of readdirSync(commands).filter((name) => name.endsWith('.lua'))) {
    const [script = '', keys] = path.basename(file, '.lua').split('-');
    redis.defineCommand(`${script}:6.7.0`, { numberOfKeys: Number(keys), lua: readFileSync(path.join(commands, file), 'utf8') });
  }
  return found;
}

/**
 * Scripts that keep the time of their argument: a worker passes the end of a job by the fleet's clock, see `useFleetClock`; `retry all`
 * and `clean` of Bull Board pass their own time; the fleet does not use the Relay or time-based counts.
 */
const UNCHANGED = ['cleanJobsInSet', 'getCounts', 'moveJobsToWait', 'moveToFinished', 'relayPublish'];

describe("BullMQ's scripts", () => {
  it('take the time from the replaced argument', () => {
    for (const [script, lua] of rewritten()) {
      const [, index] = /ARGV\[(\d+)\] +timestamp\b/.exec(lua) ?? [];
      if (index === undefined || UNCHANGED.includes(script)) continue;
      assert.ok(lua.includes(`then ARGV[${index}] = string.format(`), `${script} takes the time from ARGV[${index}]`);
    }
  });

  it('of other programs, without a version in the name, stay the same', () => {
    let defined = '';
    const redis = { defineCommand: (_: string, { lua }: { lua: string }) => (defined = lua) } as unknown as Redis;
    useRedisTime(redis);
    redis.defineCommand('moveToActive', { numberOfKeys: 0, lua: 'return 1' });
    assert.equal(defined, 'return 1');
  });
});
