// Writes for each door of package.json what `require` gets. The module hands on the ES module, so that a process has one copy of every
// class, however a file loads it. The types refer to those of the ES module, value by value: with `module: node16`, TypeScript lets a
// CommonJS file re-export only the types of an ES module.
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ES_MODULE = "from './index.js' with { 'resolution-mode': 'import' };";
const REEXPORT = /^export (?:\{(?<names>[^}]*)\}|\*) from '(?<from>\.[^']+)\.js';$/gm;
const DECLARATION =
  /^export declare (?:(?:abstract )?class (?<class>\w+)(?<parameters><.*?>)?(?= extends | implements | \{)|(?:const|function) (?<value>\w+))/gm;

/** @param dist folder of the compiled modules */
export function writeRequireDoors(root, dist) {
  const doors = Object.values(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).exports);
  for (const { require: required } of doors) {
    if (required === undefined) continue;
    const folder = dirname(join(dist, required.default.replace(/^\.\/dist\//, '')));
    writeFileSync(join(folder, 'index.cjs'), "'use strict';\nmodule.exports = require('./index.js');\n");
    writeFileSync(join(folder, 'index.d.cts'), typesOf(join(folder, 'index')));
  }
}

function typesOf(door) {
  const declarations = [...valuesOf(door)].flatMap(([name, parameters]) => {
    const value = `export declare const ${name}: typeof esm.${name};`;
    // A class is a type too, which the value of its name would hide.
    if (parameters === null) return [value];
    return [value, `export type ${name}${parameters} = esm.${name}${parameters.replaceAll(/ (?:extends|=)[^,>]*/g, '')};`];
  });
  return [`import type * as esm ${ES_MODULE}`, `export type * ${ES_MODULE}`, ...declarations, ''].join('\n');
}

/** Returns the values that a module exports, by name: the type parameters of a class (an empty string for none), null for others. */
function valuesOf(module) {
  const text = readFileSync(`${module}.d.ts`, 'utf8');
  const values = new Map();
  for (const { groups } of text.matchAll(DECLARATION))
    values.set(groups.class ?? groups.value, groups.class ? (groups.parameters ?? '') : null);
  for (const { groups } of text.matchAll(REEXPORT)) {
    const others = valuesOf(join(dirname(module), groups.from));
    const entries = groups.names?.split(',').map((entry) => entry.trim()) ?? [...others.keys()];
    for (const entry of entries.filter((name) => name !== '' && !name.startsWith('type '))) {
      const [name, alias = name] = entry.split(' as ');
      if (!others.has(name)) throw new Error(`${module}: the value ${name} is not in ${groups.from}`);
      values.set(alias, others.get(name));
    }
  }
  return values;
}
