/**
 * `npm run faults`: runs every scenario of this folder at full size with default settings, and makes docs/explanation/faults.md from their
 * reports. `npm run faults -- --only Sentinel` runs the scenarios with "Sentinel" in their name and replaces their lines. Progress
 * goes to standard error; the exit code is 1 if one failed.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildTests } from '../../support/runner/build-tests.js';
import { documentOf } from './audit/document.js';
import type { FaultRow } from './audit/report.js';

/** In page order. */
const FILES = ['worker', 'redis', 'memory', 'network', 'failover'].map((name) => `test/slow/faults/${name}.test.ts`);
const PAGE = join(import.meta.dirname, '../../../docs/explanation/faults.md');

const { values } = parseArgs({ options: { only: { type: 'string', default: '' } } });
const folder = mkdtempSync(join(tmpdir(), 'taskfleet-faults-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
const report = join(folder, 'rows');
for (const file of await buildTests(FILES)) {
  const env = { ...process.env, FAULTS: 'full', FAULTS_ONLY: values.only, FAULTS_REPORT: report };
  const child = spawn(process.execPath, ['--enable-source-maps', '--test-reporter=spec', file], { env, stdio: ['ignore', 2, 2] });
  const [code] = (await once(child, 'exit')) as [number | null];
  if (code !== 0) process.exitCode = 1;
  if (existsSync(report)) writePage();
}

function writePage(): void {
  const rows = readFileSync(report, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as FaultRow);
  const machine = `Measured on ${availableParallelism()} cores, everything on one machine; Node ${process.versions.node}.`;
  writeFileSync(PAGE, documentOf(rows, machine, existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : ''));
}
