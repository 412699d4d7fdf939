// Compiles to dist/ and copies what the compiler leaves behind: the Lua scripts, and the run bit of the command.
import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const compiler = join(dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin', 'tsc');

rmSync(join(root, 'dist'), { recursive: true, force: true });
const { status } = spawnSync(process.execPath, [compiler, '-p', join(root, 'tsconfig.build.json')], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);
cpSync(join(root, 'shared/scripts'), join(root, 'dist/shared/scripts'), {
  recursive: true,
  filter: (path) => !path.endsWith('.ts'),
});
chmodSync(join(root, 'dist/cli/main.js'), 0o755);
