import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { jsonProblem } from '../shared/arguments.js';
import { messageOf } from '../shared/errors.js';
import { quote } from '../shared/keys.js';
import { usageError } from './errors.js';
import type { Io } from './io.js';
import { say } from './text/output.js';

const TYPED = '--input';

/**
 * Reads a task's input: JSON itself, `@file`, or `-` for standard input.
 * @throws CliError `USAGE`, naming the source and the problem
 */
export async function readInput(io: Io, source: string): Promise<unknown> {
  if (source === '-') return parse(await readStandardInput(io), 'standard input');
  if (!source.startsWith('@')) return parse(source, TYPED);
  const file = source.slice(1);
  return parse(await readInputFile(io, file), file);
}

async function readInputFile({ cwd }: Io, file: string): Promise<string> {
  try {
    return await readFile(resolve(cwd, file), 'utf8');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'no such file' : messageOf(error);
    throw usageError(`Cannot read the input from ${quote(file)}: ${why}.`);
  }
}

function readStandardInput(io: Io): Promise<string> {
  if (io.stdin.isTTY) say(io, 'Reading JSON from the terminal; press Ctrl+D to finish.');
  return text(io.stdin);
}

function parse(json: string, origin: string): unknown {
  try {
    // Some editors write a byte order mark.
    return JSON.parse(json.replace(/^\uFEFF/, ''));
  } catch (error) {
    // An argument may be repeated; the content of a file may be secret.
    const got = json.trim() === '' ? 'nothing' : origin === TYPED ? quote(json) : `${json.length} characters`;
    throw usageError(`Bad input: ${origin} is not JSON: ${jsonProblem(error)}. Expected JSON such as '{"run_ms":1000}', got ${got}.`);
  }
}
