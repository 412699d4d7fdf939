import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { describe, test } from 'node:test';
import { builtUrl } from '../../support/process/built.js';
import { type NodeProcess, spawnNode } from '../../support/process/processes.js';
import { until } from '../../support/until.js';

/** A test that starts a fleet, prints the port and folder of its Redis, and ends as asked. */
const PROGRAM = (end: string): string => `
  import { testFleet } from ${JSON.stringify(builtUrl('dist/testing/index.js'))};
  const fleet = await testFleet();
  const [, dir] = await fleet.producer.store.redis.config('GET', 'dir');
  console.log('port', new URL(fleet.address.redisUrl).port, 'in', dir);
  ${end}
`;

/** Starts the program; resolves with the folder of its Redis, and the end of a connection to it. */
async function startFleet(end: string): Promise<{ program: NodeProcess; dir: string; ended: Promise<unknown> }> {
  const program = spawnNode(['--input-type=module', '-e', PROGRAM(end)]);
  const { groups } = await program.waitForLine(/^port (?<port>\d+) in (?<dir>.+)$/);
  const socket = connect(Number(groups?.['port']), '127.0.0.1');
  await once(socket, 'connect');
  const dir = groups?.['dir'] ?? '';
  assert.ok(existsSync(dir));
  return { program, dir, ended: once(socket, 'close') };
}

describe('The Redis of test fleets', () => {
  test('ends with a test process that is killed, and leaves no folder', async () => {
    const { program, dir, ended } = await startFleet('await new Promise(() => setInterval(() => {}, 60_000));');
    program.kill('SIGKILL');
    await program.exit;
    await ended;
    await until(
      () => existsSync(dir),
      (exists) => !exists,
      { everyMs: 20 },
    );
  });

  test('keeps no test process alive after the last fleet has stopped', async () => {
    const { program, dir, ended } = await startFleet('await fleet.stop();');
    assert.deepEqual(await program.exit, { code: 0, signal: null });
    await ended;
    await until(
      () => existsSync(dir),
      (exists) => !exists,
      { everyMs: 20 },
    );
  });
});
