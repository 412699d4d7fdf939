import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { messageOf } from '../shared/errors.js';
import { jsonProblem } from '../shared/json-problem.js';
import { quote } from '../shared/keys.js';
import { usageError } from './cli-error.js';
import { say } from './output.js';

const TYPED = '--input';

/**
 * Reads a task's input: JSON itself, `@file`, or `-` for standard input.
 * @throws CliError `USAGE`, saying what is wrong with it and where
 */
export async function readInput(source: string): Promise<unknown> {
  if (source === '-') return parse(await readStandardInput(), 'standard input');
  if (!source.startsWith('@')) return parse(source, TYPED);
  const file = source.slice(1);
  return parse(await readInputFile(file), file);
}

async function readInputFile(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    const why = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : messageOf(error);
    throw usageError(`Cannot read the input from ${quote(file)}: ${why}.`);
  }
}

function readStandardInput(): Promise<string> {
  if (process.stdin.isTTY) say('Reading JSON from the keyboard; Ctrl+D ends it.');
  return text(process.stdin);
}

function parse(json: string, origin: string): unknown {
  try {
    // Some editors begin a file with a byte order mark.
    return JSON.parse(json.replace(/^\uFEFF/, ''));
  } catch (error) {
    // What was typed may be shown; what is in a file may be a secret.
    const got = json.trim() === '' ? 'nothing' : origin === TYPED ? quote(json) : `${json.length} characters`;
    throw usageError(`Bad input: ${origin} is not JSON: ${jsonProblem(error)}. Got ${got}; expected for example '{"run_ms":1000}'.`);
  }
}
