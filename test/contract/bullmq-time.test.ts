/** Which time BullMQ's scripts go by, in the version that this fleet pins: Redis', whatever their caller's clock says. */
import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { describe, it } from 'node:test';
import type { Redis } from 'ioredis';
import { useRedisTime } from '../../shared/clock/bullmq-time.js';

const commands = path.join(path.dirname(createRequire(import.meta.url).resolve('bullmq')), 'commands');

/** What BullMQ's own scripts become. */
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

/** A worker tells when a job ended, by the fleet's clock: see `useFleetClock`. Not ours: Bull Board's `retry all` and `clean` name a time themselves, and nothing here uses the Relay or counts by time. */
const LEFT_AS_THEY_ARE = ['cleanJobsInSet', 'getCounts', 'moveJobsToWait', 'moveToFinished', 'relayPublish'];

describe("BullMQ's scripts", () => {
  it('are told the time by the argument that is replaced, all of them', () => {
    for (const [script, lua] of rewritten()) {
      const [, told] = /ARGV\[(\d+)\] +timestamp\b/.exec(lua) ?? [];
      if (told === undefined || LEFT_AS_THEY_ARE.includes(script)) continue;
      assert.ok(lua.includes(`then ARGV[${told}] = string.format(`), `${script} is told the time by ARGV[${told}]`);
    }
  });

  it('of other programs, without a version in their names, stay as they are', () => {
    let defined = '';
    const redis = { defineCommand: (_: string, { lua }: { lua: string }) => (defined = lua) } as unknown as Redis;
    useRedisTime(redis);
    redis.defineCommand('moveToActive', { numberOfKeys: 0, lua: 'return 1' });
    assert.equal(defined, 'return 1');
  });
});
