import assert from 'node:assert/strict';
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { fleetCanary } from '../../worker/builtin/canary/definition.js';
import { TestFleet } from '../support/fleet/test-fleet.js';
import { until } from '../support/until.js';

const OLDEST = [6, 2];
const scripts = join(import.meta.dirname, '../../shared/scripts');

/** Returns the version that added each command, and each subcommand by `name|subcommand`. */
function sinceOf(docs: readonly unknown[]): Map<string, string> {
  const since = new Map<string, string>();
  for (let index = 0; index < docs.length; index += 2) {
    const facts = docs[index + 1] as readonly unknown[];
    since.set(String(docs[index]), String(facts[facts.indexOf('since') + 1]));
    const inner = facts.indexOf('subcommands');
    if (inner !== -1) for (const [name, version] of sinceOf(facts[inner + 1] as readonly unknown[])) since.set(name, version);
  }
  return since;
}

test('scripts and connections use no command that is newer than the oldest supported Redis', async (t) => {
  const fleet = await TestFleet.onOneServer();
  t.after(() => fleet.stop());
  const since = sinceOf((await fleet.client.call('COMMAND', 'DOCS')) as unknown[]);
  assert.ok(since.size > 300, `${since.size}`);

  const used = new Set<string>();
  for (const file of (await readdir(scripts, { recursive: true })).filter((name) => name.endsWith('.lua')))
    for (const [, name = ''] of (await readFile(join(scripts, file), 'utf8')).matchAll(/redis\.p?call\(\s*['"](\w+)['"]/g))
      used.add(name.toLowerCase());
  assert.ok(used.size > 20, [...used].join(' '));

  const keyPrefix = fleet.newPrefix();
  await fleet.worker(keyPrefix, []);
  const producer = fleet.producer({ keyPrefix });
  const { id } = await producer.enqueue(fleetCanary, { run_ms: 600_000 }, { item: 'chat-1' });
  await until(
    () => producer.get(id),
    (task) => task?.state === 'running',
  );
  await producer.stopItem('chat-1', { waitMs: 60_000 });
  const stats = await fleet.client.info('commandstats');
  for (const [, name = ''] of stats.matchAll(/^cmdstat_([^:]+):/gm)) used.add(name);

  const tooNew = [...used]
    .map((name) => [name, since.get(name) ?? 'unknown'] as const)
    .filter(([name, version]) => {
      const [major = 0, minor = 0] = version.split('.').map(Number);
      return name !== 'command|docs' && !(major < (OLDEST[0] as number) || (major === OLDEST[0] && minor <= (OLDEST[1] as number)));
    });
  assert.deepEqual(tooNew, []);
});
