import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { isFleetError } from '../../shared/errors.js';
import { resolveSettings } from '../../shared/settings/settings.js';
import { type TaskContext, type TaskEnd, createWorker } from '../../worker/index.js';
import { loadTaskModules } from '../../worker/task-modules.js';
import { builtUrl } from '../support/process/built.js';
import { KEEP } from '../support/task/keep.js';

const API = builtUrl('dist/worker/index.js');
const ZOD = import.meta.resolve('zod');
const HEAD = `import { defineHandler, defineTask } from '${API}'; import { z } from '${ZOD}';\n`;
const task = (name: string) =>
  `defineHandler(defineTask({ name: '${name}', input: z.unknown(), retention: ${JSON.stringify(KEEP)} }), () => 1)`;

describe('TASK_MODULES', () => {
  let cwd: string;

  before(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'taskfleet-modules-'));
  });
  after(() => rm(cwd, { recursive: true }));

  let count = 0;
  async function moduleOf(source: string, extension = 'mjs'): Promise<string> {
    const name = `module-${(count += 1)}.${extension}`;
    await writeFile(join(cwd, name), source);
    return name;
  }
  const loadAll = (...taskModules: string[]) => loadTaskModules(resolveSettings({ taskModules }), cwd);
  const load = async (...taskModules: string[]) => (await loadAll(...taskModules)).handlers;

  it('returns the built-in tasks if it is empty', async () => {
    assert.deepEqual([...(await load()).keys()], ['chat.completion', 'document.index', 'fleet.canary']);
  });

  it('adds the handlers of a module, from an array or a function of the settings', async () => {
    const list = await moduleOf(`${HEAD} export default [${task('a.one')}, ${task('a.two')}];`);
    const made = await moduleOf(`${HEAD} export default (settings) => [${task('b.one')}].slice(settings.concurrency === 10 ? 0 : 1);`);
    const handlers = await load(list, made);
    assert.deepEqual([...handlers.keys()].slice(3), ['a.one', 'a.two', 'b.one']);
    const { source } = handlers.get('b.one') ?? {};
    assert.equal(source?.name, 'b.one');
    assert.ok(source?.moduleUrl.startsWith('file:///') && source.moduleUrl.endsWith(made));
  });

  it('accepts an absolute path and a URL', async () => {
    const name = await moduleOf(`${HEAD} export default [${task('c.one')}];`);
    assert.ok((await load(join(cwd, name))).has('c.one'));
    assert.ok((await load(`file://${join(cwd, name)}`)).has('c.one'));
  });

  const commonJs: Record<string, (head: string, name: string) => string> = {
    'as compiled from export default': (head, name) =>
      `"use strict"; Object.defineProperty(exports, "__esModule", { value: true }); ${head}
        exports.hooks = { onTaskFinished: () => 1 }; exports.use = [() => 2]; exports.default = [${task(name)}];`,
    'as bundled, with getters': (head, name) =>
      `${head} const all = { default: () => [${task(name)}], hooks: () => ({ onTaskFinished: () => 1 }), use: () => [() => 2] };
        module.exports = Object.defineProperty({}, '__esModule', { value: true });
        for (const name in all) Object.defineProperty(module.exports, name, { get: all[name], enumerable: true });`,
    'with an object like an ES module': (head, name) =>
      `${head} module.exports = { default: () => [${task(name)}], hooks: { onTaskFinished: () => 1 }, use: [() => 2] };`,
  };
  for (const [what, sourceOf] of Object.entries(commonJs)) {
    it(`accepts CommonJS ${what}`, async () => {
      const head = `const { defineHandler, defineTask } = require('${fileURLToPath(API)}'); const { z } = require('${fileURLToPath(ZOD)}');`;
      const { handlers, hooks, use } = await loadAll(await moduleOf(sourceOf(head, 'cjs.own'), 'cjs'));
      assert.deepEqual([...handlers.keys()].slice(3), ['cjs.own']);
      assert.deepEqual([hooks[0]?.onTaskFinished?.({} as TaskEnd), use.length], [1, 1]);
    });
  }

  it('accepts CommonJS whose module.exports is the handlers', async () => {
    const head = `const { defineHandler, defineTask } = require('${fileURLToPath(API)}'); const { z } = require('${fileURLToPath(ZOD)}');`;
    const list = await moduleOf(`${head} module.exports = [${task('cjs.list')}];`, 'cjs');
    const one = await moduleOf(`${head} module.exports = ${task('cjs.one')};`, 'cjs');
    assert.deepEqual([...(await load(list, one)).keys()].slice(3), ['cjs.list', 'cjs.one']);
  });

  it('says how to run TypeScript on a version of Node.js that does not', async () => {
    const name = await moduleOf(`const list: unknown[] = []; export default list;`, 'ts');
    const strips = Boolean((process.features as { typescript?: unknown }).typescript);
    await assert.rejects(
      load(name),
      strips ? /it exports no handlers/ : /does not run TypeScript\. Compile it .* NODE_OPTIONS='--import tsx' .* 22\.18/,
    );
  });

  it('names the file that a path probably means', async () => {
    const name = await moduleOf(`${HEAD} export default [${task('f.one')}];`);
    const bare = name.replace('.mjs', '');
    await assert.rejects(load(bare), { code: 'INVALID_TASK_MODULE', message: new RegExp(`there is ${join(cwd, name)}\\.$`) });
    await assert.rejects(load(`${bare}.js`), { message: new RegExp(`there is ${join(cwd, name)}\\.$`) });
    await mkdir(join(cwd, 'folder'));
    await writeFile(join(cwd, 'folder/index.js'), '');
    await assert.rejects(load('folder'), { message: new RegExp(`there is ${join(cwd, 'folder/index.js')}\\.$`) });
    await writeFile(join(cwd, 'other.ts'), '');
    const importer = await moduleOf(`import './other.js'; export default [];`);
    await assert.rejects(load(importer), { message: /There is .*\/other\.ts: import it by that name/ });
  });

  const bad: Record<string, [source: string | null, message: RegExp]> = {
    'that is not there': [null, /Cannot find|ERR_MODULE_NOT_FOUND|no such file/i],
    'with a syntax error': ['export default [', /Unexpected|Expected|Syntax/i],
    'that throws': [`throw new Error('no database');`, /no database/],
    'that throws a string': [`throw 'a text';`, /a text/],
    'whose function throws': [`export default () => { throw new Error('no key'); };`, /its default export threw: no key/],
    'that imports a missing package': [`import 'no-such-package-anywhere';`, /no-such-package-anywhere/],
    'without a default export': [`export const handlers = [];`, /expected as its default export an array/],
    'that exports nothing to run': [`export default [];`, /it exports no handlers/],
    'that exports something else': [`export default 5;`, /expected as its default export an array/],
    'that exports null': [`export default null;`, /expected as its default export an array/],
    'that exports a promise': [`export default async () => [];`, /Got a promise: await it in the module/],
    'that exports a definition': [
      `${HEAD} export default [defineTask({ name: 'x.one', input: z.unknown() })];`,
      /Got the definition of x\.one, without a handler/,
    ],
    'with exports of other names only': [
      `export const tasks = [], more = 1;`,
      /expected as its default export .*\. It exports more, tasks\.$/,
    ],
    'without exports': [`1;`, /It exports nothing\.$/],
    'that exports a bare function in the list': [`export default [() => 1];`, /expected as its default export an array/],
    'that exports a handler without a definition': [
      `export default [{ handle: () => 1, isolated: () => false }];`,
      /expected as its default export an array/,
    ],
    'that exports a handler made by hand': [
      `${HEAD} export default [{ definition: { name: 'x', input: {} }, handle: () => 1 }];`,
      /expected as its default export an array/,
    ],
    'that redefines a built-in task': [
      `${HEAD} export default [${task('fleet.canary')}];`,
      /the task fleet\.canary is defined in .* already/,
    ],
    'that defines a task twice': [
      `${HEAD} export default [${task('d.one')}, ${task('d.one')}];`,
      /the task d\.one is defined in .* already/,
    ],
    "on the fleet's own queue": [
      `${HEAD} export default [${task('maintenance.mine')}];`,
      /The queue maintenance of task maintenance\.mine is reserved for the fleet's own tasks: choose another queue/,
    ],
    'that is a Proxy': [`export default new Proxy([], { get() { throw new Error('trap'); } });`, /cannot be read: trap/],
    'that is a Proxy of a list without end': [
      `export default new Proxy([], { get: (list, name) => (name === 'length' ? 4294967295 : undefined) });`,
      /expected at most 1000 handlers, got 4294967295/,
    ],
    'that is a function whose traps throw': [
      `export default new Proxy(() => [], { apply() { throw undefined; } });`,
      /its default export threw: undefined/,
    ],
    'that throws what cannot be shown': [`throw Object.create(null);`, /a value that cannot be shown was thrown/],
    'with a handler whose getters throw': [
      `export default [{ get definition() { throw new Error('getter'); } }];`,
      /A handler cannot be read: getter/,
    ],
    'with a definition whose getters throw': [
      `${HEAD} const one = ${task('x.one')}; 
        export default [{ ...one, definition: { ...one.definition, get retry() { throw new Error('no retry'); } } }];`,
      /A handler cannot be read: no retry/,
    ],
    'with functions where data belongs': [
      `${HEAD} const one = ${task('x.one')}; 
        export default [{ ...one, definition: { ...one.definition, queue: () => 'x', retention: () => 1 } }];`,
      /queue: .*retention: /,
    ],
    'with a definition whose parts are wrong': [
      `export default [{ definition: { name: 'x', input: { safeParse: () => 1 }, retention: { failed: 7 } }, handle: () => 1, isolated: () => false }];`,
      /retention\.failed: /,
    ],
    'with a name that is another one each time': [
      `${HEAD} const one = ${task('x.one')}; let n = 0; 
        export default [{ ...one, definition: { ...one.definition, get name() { return n++ ? 7 : null; } } }];`,
      /expected as its default export an array/,
    ],
    'with hooks that are no object': [
      `export const hooks = () => 1;`,
      /expected an object with onAttemptStart, .* as hooks, got a function/,
    ],
    'with an unknown hook': [`export const hooks = { onError: () => 1 };`, /there is no hook onError; the hooks are onAttemptStart, /],
    'with a hook that is no function': [`export const hooks = { onTaskFailed: 1 };`, /expected a function as hook onTaskFailed, got 1/],
    'with hooks whose getters throw': [`export const hooks = { get onTaskFailed() { throw new Error('getter'); } };`, /getter/],
    'with middleware that is no list': [
      `export const use = (context, next) => next();`,
      /expected an array of functions .* as use, got a function/,
    ],
    'with middleware that is no function': [
      `export const use = [(context, next) => next(), 'x'];`,
      /expected a function as use\[1\], got "x"/,
    ],
    'with hooks and a bad default export': [`export const hooks = {}; export default 5;`, /expected as its default export an array/],
    'with a bad definition': [`${HEAD} export default [${task('bad name!')}];`, /Bad task definition/],
  };
  for (const [what, [source, message]] of Object.entries(bad)) {
    it(`refuses a module ${what}, and names it`, async () => {
      const name = source === null ? 'no-such-module.mjs' : await moduleOf(source);
      await assert.rejects(load(name), (error) => {
        assert.ok(isFleetError(error, 'INVALID_TASK_MODULE'), String(error));
        assert.match(error.message, message);
        assert.ok(error.message.startsWith('Task module file:///') && error.message.includes(name), error.message);
        assert.match(String(error.details['module']), new RegExp(`${name}$`));
        return true;
      });
    });
  }

  it('adds the hooks and the middleware of modules, in their order, even of modules without tasks', async () => {
    const observe = (name: string) =>
      `class Observer { name = '${name}'; onTaskFinished(end) { return [this.name, end]; } }
        export const hooks = Object.defineProperty(new Observer(), 'name', { enumerable: false });
        export const use = [() => '${name} 1', () => '${name} 2'];`;
    const first = await moduleOf(observe('a'));
    const second = await moduleOf(`${HEAD} ${observe('b')} export default [${task('with.hooks')}];`);
    const { handlers, hooks, use } = await loadAll(first, second);
    assert.deepEqual([...handlers.keys()].slice(3), ['with.hooks']);
    const end = {} as TaskEnd;
    assert.deepEqual(
      hooks.map(({ onTaskFinished }) => onTaskFinished?.(end)),
      [
        ['a', end],
        ['b', end],
      ],
    );
    assert.deepEqual(
      use.map((middleware) => middleware({} as TaskContext, () => Promise.resolve())),
      ['a 1', 'a 2', 'b 1', 'b 2'],
    );
  });

  it('reads computed parts of a handler once, when it is loaded', async () => {
    const name = await moduleOf(
      `${HEAD} const one = ${task('e.one')}; let n = 0;
        export default [new Proxy({ ...one }, { get: (all, part) =>
          (part === 'definition' ? { ...all.definition, timeoutMs: ++n } : all[part]) })];`,
    );
    const handler = (await load(name)).get('e.one');
    assert.deepEqual([handler?.definition.timeoutMs, handler?.definition.timeoutMs], [1, 1]);
  });

  it('is read before the worker connects', async () => {
    const config = { redisUrl: 'redis://127.0.0.1:1', logLevel: 'silent', cwd, taskModules: ['no-such-module.mjs'] } as const;
    await assert.rejects(createWorker(config), { code: 'INVALID_TASK_MODULE' });
  });
});
