import assert from 'node:assert/strict';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { identifyThisProcess, isRunning } from '../../../shared/embedded-redis/process-identity.js';
import { takeLock } from '../../../shared/embedded-redis/server-state.js';

let root: string;

beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-lock-')));
});

afterEach(() => rm(root, { recursive: true, force: true }));

describe('the lock', () => {
  it('has one holder at a time', async () => {
    const path = join(root, 'lock');
    let inside = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        const unlock = await takeLock(path, 20_000);
        assert.ok(unlock);
        inside += 1;
        assert.equal(inside, 1);
        await new Promise((resolve) => setImmediate(resolve));
        inside -= 1;
        await unlock();
      }),
    );
  });

  it('is refused while its holder is alive, and granted once the holder is dead', async () => {
    const path = join(root, 'lock');
    const unlock = await takeLock(path, 0);
    assert.ok(unlock);
    assert.equal(await takeLock(path, 100), null);
    await unlock();
    const self = await identifyThisProcess();
    assert.equal(await isRunning(self), true);
    // The pid is in use, but by another process than the holder.
    await writeFile(`${path}.${self.pid}.1.00000000-0000-0000-0000-000000000000`, '');
    const again = await takeLock(path, 0);
    assert.ok(again);
    await again();
  });
});
