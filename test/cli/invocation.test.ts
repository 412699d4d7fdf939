import assert from 'node:assert/strict';
import { mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { invocationOf } from '../../cli/invocation.js';

describe('the command to paste', () => {
  let root: string;
  let global: string;
  let project: string;

  /** Installs the program as npm does: a link in a folder of binaries. */
  async function install(bin: string, modules: string): Promise<string> {
    const program = join(modules, 'taskfleet/dist/cli/main.js');
    await mkdir(join(program, '..'), { recursive: true });
    await writeFile(program, '');
    await mkdir(bin, { recursive: true });
    await symlink(program, join(bin, 'taskfleet'));
    return join(bin, 'taskfleet');
  }

  before(async () => {
    root = await realpath(await mkdtemp(join(tmpdir(), 'taskfleet-invocation-')));
    global = await install(join(root, 'usr/bin'), join(root, 'usr/lib/node_modules'));
    project = await install(join(root, 'project/node_modules/.bin'), join(root, 'project/node_modules'));
    await mkdir(join(root, 'checkout/dist/cli'), { recursive: true });
    await writeFile(join(root, 'checkout/dist/cli/main.js'), '');
  });
  after(() => rm(root, { recursive: true, force: true }));

  function invocation(script: string | null, cwd = root): string {
    const PATH = [join(root, 'project/node_modules/.bin'), join(root, 'usr/bin')].join(delimiter);
    return invocationOf({ script, cwd, env: { PATH } });
  }

  it('is the name of a global installation, npx for one of a project, else the path of the program', () => {
    assert.equal(invocation(global), 'taskfleet');
    assert.equal(invocation(project), 'npx taskfleet', 'npx puts the binaries of the project into the PATH');
    assert.equal(invocation(join(root, 'checkout/dist/cli/main.js'), join(root, 'checkout')), 'node dist/cli/main.js');
    assert.equal(invocation(join(root, 'checkout/dist/cli/main.js'), project), `node ${root}/checkout/dist/cli/main.js`);
    assert.equal(invocation(null), 'taskfleet');
  });
});
