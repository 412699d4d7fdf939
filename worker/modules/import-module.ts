import { existsSync } from 'node:fs';
import { extname, isAbsolute, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isObject } from '../../shared/arguments.js';
import { FleetError, messageOf } from '../../shared/errors.js';

/** The exports of a task module that the worker reads. */
export interface ModuleExports {
  readonly default?: unknown;
  readonly hooks?: unknown;
  readonly use?: unknown;
  /** Names of all exports, for messages. */
  readonly names: readonly string[];
}

/** The name of the built-in tasks' module, which is part of this package, also in a bundle. */
export const BUILTIN_MODULE = 'taskfleet:builtin';

const READ: readonly string[] = ['default', 'hooks', 'use'];
const TYPESCRIPT: readonly string[] = ['.ts', '.mts', '.cts'];
/** Extensions by which a module may be found that TASK_MODULES names without one, or with another. */
const EXTENSIONS = ['.js', '.mjs', '.cjs', ...TYPESCRIPT, '/index.js', '/index.ts'];
const RUN_TYPESCRIPT =
  "Compile it to JavaScript and name that file, start Node.js with NODE_OPTIONS='--import tsx' (after npm install tsx; it does not reach " +
  'the threads of isolated handlers), or use Node.js 22.18 or later, which runs TypeScript.';

/** Returns the URL of a module in TASK_MODULES. */
export function moduleUrl(path: string, cwd: string): string {
  if (/^(file|data|node):/.test(path)) return path;
  return pathToFileURL(isAbsolute(path) ? path : resolve(cwd, path)).href;
}

/**
 * Imports a task module, an ES module or CommonJS, as written by hand or by a compiler.
 * @throws FleetError `INVALID_TASK_MODULE`, with what to do where that is known
 */
export async function importModule(url: string): Promise<ModuleExports> {
  try {
    return exportsOf(await load(url));
  } catch (error) {
    throw invalidModule(url, `${messageOf(error).replace(/\.$/, '')}${hintFor(url, error)}`, error);
  }
}

export function invalidModule(url: string, problem: string, cause?: unknown): FleetError {
  return new FleetError('INVALID_TASK_MODULE', `Task module ${url}: ${problem.replace(/\.$/, '')}.`, { cause, details: { module: url } });
}

/** Resolves with the module rather than its default export: awaiting an export with a `then` would call it. */
async function load(url: string): Promise<Readonly<Record<string, unknown>>> {
  // The comment keeps webpack from replacing the import by a lookup in its own bundle.
  return (await (url === BUILTIN_MODULE ? import('../builtin/handlers.js') : import(/* webpackIgnore: true */ url))) as Readonly<
    Record<string, unknown>
  >;
}

/** Node imports a CommonJS module as one whose default export is its `module.exports`. */
function exportsOf(module: Readonly<Record<string, unknown>>): ModuleExports {
  const { default: exported } = module;
  const { default: value, hooks, use } = isCommonJs(exported) ? exported : module;
  return { default: value, hooks, use, names: Object.keys(module).filter((name) => name !== 'module.exports') };
}

/** Whether this is a `module.exports` with `default`, `hooks` and `use` rather than handlers. */
function isCommonJs(exported: unknown): exported is Readonly<Record<string, unknown>> {
  try {
    if (!isObject(exported) || Array.isArray(exported)) return false;
    const names = Object.keys(exported);
    return Object.hasOwn(exported, '__esModule') || (names.length > 0 && names.every((name) => READ.includes(name)));
  } catch {
    // A Proxy: the check of the default export says what is wrong.
    return false;
  }
}

/** Returns what to do about a failed import, as the end of a sentence and more; empty if Node's own message says enough. */
function hintFor(url: string, error: unknown): string {
  const code = isObject(error) && 'code' in error ? error.code : undefined;
  const path = url.startsWith('file:') ? fileURLToPath(url) : null;
  if (path === null) return '';
  switch (code) {
    case 'ERR_UNKNOWN_FILE_EXTENSION':
      return TYPESCRIPT.includes(extname(path)) ? `. This version of Node.js does not run TypeScript. ${RUN_TYPESCRIPT}` : '';
    case 'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX':
      return ". Node.js removes types and compiles nothing else: compile the module, or start Node.js with NODE_OPTIONS='--import tsx'";
    case 'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING':
      return '. Node.js runs no TypeScript below node_modules: name the compiled module';
    case 'ERR_MODULE_NOT_FOUND':
    case 'ERR_UNSUPPORTED_DIR_IMPORT':
      return hintForMissing(path, messageOf(error));
    default:
      return '';
  }
}

function hintForMissing(path: string, message: string): string {
  const base = path.slice(0, path.length - extname(path).length);
  const found = [...EXTENSIONS.map((extension) => path + extension), ...EXTENSIONS.map((extension) => base + extension)];
  const other = !existsSync(path) || message.includes('Directory import') ? found.find((file) => existsSync(file)) : undefined;
  if (other !== undefined) return `. TASK_MODULES needs the name of a file: there is ${other}`;
  // A module that is there but imports './other.js', whose source is other.ts.
  const missing = /Cannot find module '([^']+)\.([cm]?)js'/.exec(message);
  if (missing && existsSync(path) && existsSync(`${missing[1]}.${missing[2]}ts`))
    return `. There is ${missing[1]}.${missing[2]}ts: import it by that name, as Node.js runs TypeScript without renaming imports, or compile both`;
  return '';
}
