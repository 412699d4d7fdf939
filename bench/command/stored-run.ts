import { access, constants, readFile, writeFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { type Machine, machineSchema } from '../harness/machine.js';
import type { SuiteResult } from '../harness/suite.js';
import { UsageError } from './usage-error.js';

const FORMAT = 'taskfleet-bench';
const VERSION = 1;
const DIGITS = 5;

const rowSchema = z.object({
  name: z.string(),
  unit: z.string(),
  sides: z.record(z.string(), z.array(z.number())),
  ratios: z.array(z.object({ of: z.string(), to: z.string(), better: z.enum(['higher', 'lower']) })).default([]),
});
const runSchema = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  at: z.iso.datetime(),
  machine: machineSchema,
  suites: z
    .array(
      z.object({
        name: z.string(),
        about: z.string(),
        sizes: z.record(z.string(), z.number().int().positive()),
        rows: z.array(rowSchema),
        notes: z.array(z.string()),
      }),
    )
    .min(1),
});

/** A run as stored by `--json`. */
export interface StoredRun {
  /** When it started, in ISO 8601. */
  readonly at: string;
  readonly machine: Machine;
  readonly suites: readonly SuiteResult[];
}

export async function writeRun(path: string, run: StoredRun): Promise<void> {
  const text = JSON.stringify({ format: FORMAT, version: VERSION, ...run }, (_key, value: unknown) => storable(value), 1);
  // Puts the numbers of a side on one line, for short diffs.
  const compact = text.replaceAll(/\[[\d\s.,e+-]+\]/g, (numbers) => numbers.replaceAll(/\s+/g, ''));
  await writeFile(path, `${compact}\n`);
}

/** Shortens numbers, and leaves out those that JSON does not have, such as the median of no samples. */
function storable(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((one) => typeof one !== 'number' || Number.isFinite(one));
  return typeof value === 'number' ? Number(value.toPrecision(DIGITS)) : value;
}

/** Returns once the run can be stored there. @throws UsageError if its folder is missing or read-only */
export async function requireWritable(path: string): Promise<void> {
  const folder = dirname(resolve(path));
  await access(folder, constants.W_OK).catch((error: unknown) => {
    throw new UsageError(`Cannot write ${path}: ${(error as NodeJS.ErrnoException).code}. Expected a file in an existing, writable folder`);
  });
}

/** Reads a stored run. @throws UsageError if the file is missing or was not written by `--json` */
export async function readRun(path: string): Promise<StoredRun> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new UsageError(`Cannot read ${path}: ${reason}. Store a run first: npm run bench -- --json ${path}`);
  });
  const { success, data, error } = runSchema.safeParse(jsonOf(text, path));
  if (success) return data;
  const [issue] = error.issues;
  const where = issue?.path.map(String).join('.') || 'the file';
  throw new UsageError(`${path} is not a run stored by npm run bench -- --json FILE: ${where}: ${issue?.message}`);
}

function jsonOf(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new UsageError(`${path} is not JSON. Expected a run stored by npm run bench -- --json FILE`);
  }
}
